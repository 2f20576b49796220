package httpcache

import (
	"iter"
	"net/http"
	"strings"
)

// cutCookie takes the first pair off a Cookie field (RFC 6265 §4.2.1). Name and value are unchanged, without the blanks
// around the pair. A piece without "=" has no name.
func cutCookie(line string) (name, value, left string) {
	pair, left, _ := strings.Cut(line, ";")
	pair = strings.Trim(pair, " \t")
	name, value, found := strings.Cut(pair, "=")
	if !found {
		return "", pair, left
	}
	return name, value, left
}

// CookieValues are the values of all cookies with a name, in the order of the request.
func CookieValues(h http.Header, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h["Cookie"] {
			for line != "" {
				var n, value string
				n, value, line = cutCookie(line)
				if n == name && !yield(value) {
					return
				}
			}
		}
	}
}
