package httpcache

import "net/http"

// NamesTarget reports whether the content of an answer is the new representation of the request's own target: the
// answer has one Content-Location, which resolves to the target (RFC 9110 §8.7).
func NamesTarget(t Target, response http.Header) bool {
	values := response["Content-Location"]
	if len(values) != 1 {
		return false
	}
	u, ok := ResolveReference(t, values[0])
	return ok && u.Path == t.Path && u.Query == t.Query && u.HasQuery == t.HasQuery
}
