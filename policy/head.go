package policy

import "net/http"

// HeadContradicts reports whether the 200 to a HEAD is about another representation than the copy with this header: what
// both say to identify it differs (RFC 9111 §4.3.5). A HEAD that agrees changes nothing here: it went through with fields
// of its client that no fill forwards, and what it brings may be for that client only.
func HeadContradicts(stored, head http.Header) bool {
	for _, name := range [...]string{"Etag", "Last-Modified", "Content-Length", "Content-Encoding"} {
		a, b := stored[name], head[name]
		if len(a) > 0 && len(b) > 0 && combined(a) != combined(b) {
			return true
		}
	}
	return false
}
