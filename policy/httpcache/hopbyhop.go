package httpcache

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// hopByHop are the fields that concern only one connection (RFC 9110 §7.6.1), and those from and for proxies, which
// must not be stored either (RFC 9111 §3.1). Trailer announces fields that net/http delivers separately.
var hopByHop = map[string]bool{
	"Connection":                true,
	"Keep-Alive":                true,
	"Proxy-Connection":          true,
	"Proxy-Authenticate":        true,
	"Proxy-Authentication-Info": true,
	"Proxy-Authorization":       true,
	"Te":                        true,
	"Trailer":                   true,
	"Transfer-Encoding":         true,
	"Upgrade":                   true,
}

// endToEnd are fields that Connection must not name, since they are for every recipient (RFC 9110 §7.6.1 gives
// Cache-Control as the example). A proxy that obeyed would let one side remove the fields by which the proxy or the
// other side decides: whether an answer may be stored, whom a request is from, which way it came.
var endToEnd = map[string]bool{
	"Age": true, "Cache-Control": true, "Date": true, "Etag": true, "Expires": true, "Last-Modified": true,
	"Pragma": true, "Set-Cookie": true, "Set-Cookie2": true, "Vary": true, "Location": true,
	"Cache-Groups": true, "Cache-Group-Invalidation": true, "Cache-Status": true, "Cache-Tag": true, "Cdn-Cache-Control": true,
	"Cacheproxy-Cache-Control": true,
	"Surrogate-Control":        true, "Surrogate-Key": true, "Xkey": true, "Cache-Tags": true, "X-Cache-Tags": true, "X-Magento-Tags": true,
	"Authorization": true, "Cookie": true, "Host": true, "Range": true,
	"Forwarded": true, "Via": true, "Cdn-Loop": true,
}

// endToEndPrefixes are the families of fields that Connection must not name either.
var endToEndPrefixes = [...]string{"Content-", "If-", "X-Forwarded-"}

// IsHopByHop reports whether a field, by its canonical name, concerns only one connection.
func IsHopByHop(name string) bool { return hopByHop[name] }

// dashed is the canonical name of a field with "-" for "_": servers that hand requests on by the rules of CGI (RFC 3875
// §4.1.18) make the same variable of both names.
func dashed(name string) string {
	if !strings.Contains(name, "_") {
		return textproto.CanonicalMIMEHeaderKey(name)
	}
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// RemoveHopByHop deletes from h the fields that must not be forwarded or stored: those of one connection, and those
// that Connection names (RFC 9110 §7.6.1). A field that Connection must not name stays.
func RemoveHopByHop(h http.Header) {
	for name := range Elements(h["Connection"]) {
		if name = textproto.CanonicalMIMEHeaderKey(name); !IsEndToEnd(name) {
			delete(h, name)
		}
	}
	for name := range hopByHop {
		delete(h, name)
	}
}

// IsEndToEnd reports whether a field, by its canonical name, is one that Connection must not name.
func IsEndToEnd(name string) bool {
	return endToEnd[name] || slices.ContainsFunc(endToEndPrefixes[:], func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
