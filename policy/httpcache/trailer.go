package httpcache

import "net/http"

// noTrailer are fields that a trailer must not have, besides hop-by-hop fields and those that Connection must not name.
// A recipient needs these before the content, or decides by them (RFC 9110 §6.5.1).
var noTrailer = map[string]bool{
	"Www-Authenticate": true, "Cookie2": true, "Expect": true, "Max-Forwards": true, "Retry-After": true, "Warning": true,
	"Content-Length": true, "Content-Encoding": true, "Content-Type": true, "Content-Range": true, "Content-Location": true,
}

// inTrailer are fields that Connection must not name and that a trailer may have: their values are known only at the
// end of the content (RFC 9110 §8.8.2, §8.8.3, RFC 9530 §2).
var inTrailer = map[string]bool{
	"Etag": true, "Last-Modified": true, "Date": true, "Content-Md5": true, "Content-Digest": true,
}

// StripTrailer removes from the trailer of a request or a response the fields that frame the message, route it, or say
// for whom and for how long it is, in any spelling. Other fields stay, those of gRPC among them.
func StripTrailer(trailer http.Header) {
	for name := range trailer {
		if d := dashed(name); !inTrailer[d] && (noTrailer[d] || hopByHop[d] || IsEndToEnd(d)) {
			delete(trailer, name)
		}
	}
}
