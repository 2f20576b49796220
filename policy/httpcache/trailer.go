package httpcache

import "net/http"

// noTrailer are fields that a trailer must not have besides those of a connection and those that Connection must not name: what a
// recipient needs before the content, or decides by (RFC 9110 §6.5.1).
var noTrailer = map[string]bool{
	"Www-Authenticate": true, "Cookie2": true, "Expect": true, "Max-Forwards": true, "Retry-After": true, "Warning": true,
	"Content-Length": true, "Content-Encoding": true, "Content-Type": true, "Content-Range": true, "Content-Location": true,
}

// inTrailer are fields that Connection must not name and a trailer may have: they are known only when all of the content is
// (RFC 9110 §8.8.2, §8.8.3, RFC 9530 §2).
var inTrailer = map[string]bool{
	"Etag": true, "Last-Modified": true, "Date": true, "Content-Md5": true, "Content-Digest": true,
}

// StripTrailer removes from a trailer, of a request or a response, what frames the message, routes it, says for whom it is or for
// how long, whatever the spelling. Other fields stay, those of gRPC among them.
func StripTrailer(trailer http.Header) {
	for name := range trailer {
		if d := dashed(name); !inTrailer[d] && (noTrailer[d] || hopByHop[d] || IsEndToEnd(d)) {
			delete(trailer, name)
		}
	}
}
