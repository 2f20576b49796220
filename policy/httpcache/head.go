package httpcache

import "net/http"

// HeadContradicts reports whether the 200 to a HEAD is about another representation than the copy with this header: an
// identifying field that both have differs (RFC 9111 §4.3.5).
func HeadContradicts(stored, head http.Header) bool {
	for _, name := range [...]string{"Etag", "Last-Modified", "Content-Length", "Content-Encoding"} {
		a, b := stored[name], head[name]
		if len(a) > 0 && len(b) > 0 && Combined(a) != Combined(b) {
			return true
		}
	}
	return false
}

// HeadConfirms reports whether the 200 to a HEAD is about the copy: both have the same validator. The caller has
// checked HeadContradicts. RFC 9111 §4.3.5 also renews a copy without a validator; but then nothing shows whether the
// stored bytes are still right.
func HeadConfirms(stored, head http.Header) bool {
	return HasValidator(head) && ConfirmsStored(stored, head)
}
