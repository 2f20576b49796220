package httpcache

import (
	"net/http"
	"strings"
)

// longestWay is how long Via, or CDN-Loop, may be in a request that is made for several clients, in bytes. Real chains
// of hops are far shorter, and no origin refuses a request for that length. The bound leaves enough hops of a loop for
// the loop to be noticed.
const longestWay = 2 << 10

// BoundUnkeyed bounds the fields that a fill passes on although no key has them: the trace, Via and CDN-Loop.
func BoundUnkeyed(h http.Header) {
	boundTrace(h)
	boundWay(h)
}

// boundWay cuts Via and CDN-Loop to whole elements at their end, which are those of the nearest hops (RFC 9110 §7.6.3,
// RFC 8586). No answer depends on these fields, requests that differ in nothing else share one answer, and a client may
// have made the fields up. So their length must not decide whether the requests get an answer. Lines within the bound
// stay as they are.
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
		// The cut may split a comment of Via that has a comma. The rest of the comment then stands where Via names
		// software, which nobody depends on.
		_, rest, _ := strings.Cut(whole[max(0, len(whole)-longestWay):], ",")
		if rest = TrimOWS(rest); rest == "" {
			delete(h, name)
			continue
		}
		h[name] = []string{rest}
	}
}
