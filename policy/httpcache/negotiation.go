package httpcache

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// negotiating are the request fields by which an answer is chosen whether or not its Vary names them (RFC 9110 §12.5; Origin: WHATWG
// Fetch, "CORS protocol and HTTP caches").
var negotiating = []string{"Accept", "Accept-Charset", acceptEncoding, "Accept-Language", "Origin"}

// Negotiation writes down what a request says of the answer that it wants: "Name: value" and a line break for each line of these fields.
// Empty: it says nothing.
func Negotiation(h http.Header) string {
	var buf [512]byte
	text := buf[:0]
	for _, name := range negotiating {
		for _, line := range h[name] {
			text = append(append(append(append(text, name...), ": "...), line...), '\n')
		}
	}
	return string(text)
}

// Negotiate has a request say what was written down by Negotiation. What that does not have stays as it is.
func Negotiate(h http.Header, negotiation string) {
	said := make(http.Header)
	for line := range strings.Lines(negotiation) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if ok && slices.Contains(negotiating, name) {
			said[name] = append(said[name], value)
		}
	}
	maps.Copy(h, said)
}
