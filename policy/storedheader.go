package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// StoredHeader makes an origin's header, which is the caller's to change, what a copy keeps of it. An answer that sets cookies is stored
// only by a route that strips them, or that says they are for everyone.
func (r *Route) StoredHeader(own http.Header) http.Header {
	httpcache.StripStored(own, !r.StripSetCookie && r.Override.Has(OverrideSetCookie))
	r.StripTags(own)
	return own
}
