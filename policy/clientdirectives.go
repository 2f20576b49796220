package policy

import (
	"net/http"

	"cacheproxy/policy/httpcache"
)

// ClientDirectives says whether a route heeds what clients ask of caches (RFC 9111 §5.2.1). They are advisory.
type ClientDirectives uint8

const (
	// IgnoreClient heeds only-if-cached and nothing else: no client can send load past the cache. The zero value.
	IgnoreClient ClientDirectives = iota
	// HonorClient heeds all of them: a reload in a browser, or curl with no-cache, sees what the origin says now.
	HonorClient
)

// Heeded are the directives of a request that the route heeds.
func (c ClientDirectives) Heeded(h http.Header) httpcache.RequestDirectives {
	if c != HonorClient {
		return httpcache.RequestDirectives{}
	}
	return httpcache.ParseRequestDirectives(h)
}
