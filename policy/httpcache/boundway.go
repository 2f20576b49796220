package httpcache

import (
	"net/http"
	"strings"
)

// longestWay is how long Via, or CDN-Loop, may be in a request that is made for several, in bytes: far more than a way that ends anywhere, and
// less than any origin refuses a request for. In it is room for as many of a loop's hops as are needed to notice it.
const longestWay = 2 << 10

// BoundUnkeyed bounds what a fill passes on although it is part of no key: the trace, and the way that the request came.
func BoundUnkeyed(h http.Header) {
	boundTrace(h)
	boundWay(h)
}

// boundWay cuts what a request says of the way that it came to whole elements of its end, which are those of the nearest hops (RFC 9110 §7.6.3,
// RFC 8586). As of the trace, no answer depends on it, requests that differ in nothing else are answered together, and a client may have
// made it up: its length must not decide whether there is an answer. The lines that stay are what they were.
func boundWay(h http.Header) {
	for _, name := range [...]string{"Via", "Cdn-Loop"} {
		lines := h[name]
		size := len(lines)
		for _, line := range lines {
			size += len(line)
		}
		if size <= longestWay {
			continue
		}
		whole := strings.Join(lines, ", ")
		// A comment that holds a comma may be cut in two, and then stands among what Via says of software that nobody needs to know.
		_, rest, _ := strings.Cut(whole[max(0, len(whole)-longestWay):], ",")
		if rest = TrimOWS(rest); rest == "" {
			delete(h, name)
			continue
		}
		h[name] = []string{rest}
	}
}
