package httpcache

import (
	"math"
	"net/http"
	"strconv"
)

// ForwardOnce decrements Max-Forwards of an OPTIONS or TRACE request in h. It reports false when the proxy must answer
// the request instead of forwarding it (RFC 9110 §7.6.2). The field of other methods, and a value that is no number,
// have no meaning and stay.
func ForwardOnce(method string, h http.Header) bool {
	values := h["Max-Forwards"]
	if method != http.MethodOptions && method != http.MethodTrace || len(values) != 1 {
		return true
	}
	n, ok := parsePosition(values[0])
	if !ok || n == 0 {
		return !ok
	}
	if n > math.MaxUint32 { // "the recipient's maximum supported value"
		n = 1 << 31
	}
	h["Max-Forwards"] = []string{strconv.FormatInt(n-1, 10)}
	return true
}
