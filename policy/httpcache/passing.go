package httpcache

import "net/http"

// Passing reports whether a status tells of the moment and not of the resource: an error of the server (5xx), or a
// refusal that asks the client to try again (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4). 404 and 410 are not
// passing: the absence of a resource is an answer.
func Passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// Displaces reports whether an answer replaces a copy with another status and in this state. A passing answer does not
// replace a copy that may be served where the origin fails: the copy is kept for that case (RFC 5861 §4).
func Displaces(status, copied int, state Freshness) bool {
	return !Passing(status) || Passing(copied) || state < StaleOnError
}
