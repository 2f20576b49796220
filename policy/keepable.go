package policy

import (
	"net/http"
	"time"

	"cacheproxy/policy/httpcache"
)

// KeepsResponse reports whether the response to a write may become the copy that answers reads of its target. The
// response must declare itself the representation that a GET would get (RFC 9110 §8.7), and its lifetime. Only
// responses to POST (§9.3.3) and PATCH (RFC 5789 §2) can be kept. A route that fences its writes needs neither the
// lifetime nor these methods: its configuration declares that such responses may be kept, with lifetimes of its own.
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
