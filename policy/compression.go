package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// Compresses reports whether answers of this kind go to clients compressed where they accept that and it is worth it, by
// everything but their length. It is the same for every answer of a kind, long or short, so that all say the same Vary.
func (r *Route) Compresses(status int, h http.Header) bool {
	return r.Compression != httpcache.Identity && httpcache.Compressible(status, h)
}
