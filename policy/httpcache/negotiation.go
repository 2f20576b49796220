package httpcache

import (
	"net/http"
	"slices"
	"strings"
)

// negotiating are the request fields by which an answer is chosen whether or not its Vary names them (RFC 9110 §12.5; Origin: WHATWG
// Fetch, "CORS protocol and HTTP caches").
var negotiating = []string{"Accept", "Accept-Charset", acceptEncoding, "Accept-Language", "Origin"}

// Negotiation writes down what a request says of the answer that it wants: "Name: value" and a line break for each field. Empty: it says
// nothing.
func Negotiation(h http.Header) string {
	var b strings.Builder
	for _, name := range negotiating {
		if lines := h[name]; len(lines) > 0 {
			b.WriteString(name + ": " + Combined(lines) + "\n")
		}
	}
	return b.String()
}

// Negotiate has a request say what was written down by Negotiation. What that does not have stays as it is.
func Negotiate(h http.Header, negotiation string) {
	for line := range strings.Lines(negotiation) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if ok && slices.Contains(negotiating, name) {
			h[name] = []string{value}
		}
	}
}
