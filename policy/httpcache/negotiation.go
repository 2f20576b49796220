package httpcache

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// negotiating are the request fields by which origins choose an answer, whether or not its Vary names the fields (RFC
// 9110 §12.5; Origin: WHATWG Fetch, "CORS protocol and HTTP caches").
var negotiating = []string{"Accept", "Accept-Charset", acceptEncoding, "Accept-Language", "Origin"}

// Negotiation writes down the negotiating fields of a request: "Name: value" and a line break for each line. Empty: the
// request has none of these fields.
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

// Negotiate sets the fields of h that Negotiation has written down. Other fields stay.
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
