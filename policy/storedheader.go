package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// StoredHeader reduces an origin's header to the fields that a copy keeps. It changes own. An answer that sets cookies
// is stored only by a route that strips Set-Cookie, or that declares the cookies to be for everyone.
func (r *Route) StoredHeader(own http.Header) http.Header {
	httpcache.StripStored(own, !r.StripSetCookie && r.Override.Has(OverrideSetCookie))
	r.StripTags(own)
	return own
}
