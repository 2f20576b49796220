package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// StoredHeader is what a copy keeps of an origin's header. An answer that sets cookies is stored only by a route that strips
// them, or that says they are for everyone.
func (r *Route) StoredHeader(origin http.Header) http.Header {
	h := httpcache.StoredHeader(origin, !r.StripSetCookie && r.Override.Has(OverrideSetCookie))
	r.StripTags(h)
	return h
}
