package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// ClientDirectives says whether a route follows the caching directives of clients (RFC 9111 §5.2.1), which are
// advisory.
type ClientDirectives uint8

const (
	// IgnoreClient follows only only-if-cached: no client can send load past the cache. The zero value.
	IgnoreClient ClientDirectives = iota
	// HonorClient follows all of them: a reload in a browser, or curl with no-cache, gets the origin's current answer.
	HonorClient
)

// Heeded are the directives of a request that the route follows, besides only-if-cached.
func (c ClientDirectives) Heeded(h http.Header) httpcache.RequestDirectives {
	if c != HonorClient {
		return httpcache.RequestDirectives{}
	}
	return httpcache.ParseRequestDirectives(h)
}
