package httpcache

import "net/http"

// HeadContradicts reports whether the 200 to a HEAD is about another representation than the copy with this header: what
// both say to identify it differs (RFC 9111 §4.3.5).
func HeadContradicts(stored, head http.Header) bool {
	for _, name := range [...]string{"Etag", "Last-Modified", "Content-Length", "Content-Encoding"} {
		a, b := stored[name], head[name]
		if len(a) > 0 && len(b) > 0 && Combined(a) != Combined(b) {
			return true
		}
	}
	return false
}

// HeadConfirms reports whether the 200 to a HEAD, which contradicts nothing, is about the copy: both have the same validator. RFC 9111
// §4.3.5 would have the copy renewed without a validator, too; but then nobody knows whether the stored bytes are still right.
func HeadConfirms(stored, head http.Header) bool {
	return HasValidator(head) && ConfirmsStored(stored, head)
}
