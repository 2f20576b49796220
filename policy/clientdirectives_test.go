package policy

import (
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestHeededDirectives(t *testing.T) {
	for _, field := range []string{"Cache-Control: no-cache", "Cache-Control: max-stale=5", "Pragma: no-cache"} {
		h := header(field)
		if d := IgnoreClient.Heeded(h); d != (httpcache.RequestDirectives{}) {
			t.Errorf("%s: heeded by a route that ignores it: %+v", field, d)
		}
		if d := HonorClient.Heeded(h); d != httpcache.ParseRequestDirectives(h) || d == (httpcache.RequestDirectives{}) {
			t.Errorf("%s: not heeded by a route that honours it: %+v", field, d)
		}
	}
}
