package policy

import (
	"net/http"
	"slices"

	"cacheproxy/policy/httpcache"
)

// OfferSurrogate adds to the header of a fill what this cache understands of Surrogate-Control, where the route heeds that.
func (r *Route) OfferSurrogate(h http.Header) {
	if slices.Contains(r.Targets, httpcache.TargetSurrogate) {
		httpcache.OfferSurrogate(h)
	}
}
