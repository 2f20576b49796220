package policy

import (
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestClientWishes(t *testing.T) {
	for _, field := range []string{"Cache-Control: no-cache", "Cache-Control: max-stale=5", "Pragma: no-cache"} {
		h := header(field)
		if w := (&Route{}).ClientWishes(h); w != (httpcache.Wishes{}) {
			t.Errorf("%s: heeded by a route that ignores it: %+v", field, w)
		}
		if w := (&Route{Client: HonorClient}).ClientWishes(h); w != httpcache.ParseWishes(h) || w == (httpcache.Wishes{}) {
			t.Errorf("%s: not heeded by a route that honours it: %+v", field, w)
		}
	}
}
