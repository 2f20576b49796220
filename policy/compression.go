package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// Compresses reports whether answers of this kind go compressed to clients that accept the coding. The length of the
// answer does not count, so that all answers of a kind, long or short, have the same Vary.
func (r *Route) Compresses(status int, h http.Header) bool {
	return r.Compression != httpcache.Identity && httpcache.Compressible(status, h)
}
