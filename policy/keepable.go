package policy

import (
	"net/http"
	"time"

	"cacheproxy/policy/httpcache"
)

// KeepsResponse reports whether the response to a write may become the copy that answers reads of its target: it says
// that it is what a GET would get (RFC 9110 §8.7), and for how long that holds. Methods whose responses cannot be kept are
// all but POST (§9.3.3) and PATCH (RFC 5789 §2); a route that fences its writes is told that its origin's are, with
// lifetimes of its own.
func (r *Route) KeepsResponse(method string, t httpcache.Target, status int, h http.Header) bool {
	if r.OnWrite != OnWriteStore || status != http.StatusOK && status != http.StatusCreated || !httpcache.NamesTarget(t, h) {
		return false
	}
	if r.FencesWrites {
		return true
	}
	_, explicit := r.Override.explicitFreshness(h, time.Time{}, directivesOf(r, h))
	return explicit && (method == http.MethodPost || method == http.MethodPatch)
}
