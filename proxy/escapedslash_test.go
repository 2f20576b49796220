package proxy

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cacheproxy/policy"
)

// An origin may decode a path before it looks. A write with an escaped slash ends the copy under the plain one, under the rules of its
// route, and a write of the plain one the copies under those with an escaped slash; a read of the one is never answered from a copy of the other
// (RFC 3986 §2.2).
func TestWriteWithAnEscapedSlash(t *testing.T) {
	for _, kind := range []policy.Kind{policy.CacheAside, policy.WriteThrough} {
		for _, pattern := range []string{"/", "/r/"} {
			var asked atomic.Int64
			route := routeFor(t, "all", func(r *policy.Route) { r.Policy = kind }, pattern)
			inBubble(t, counted(&asked, nil), rigOptions{}, route, func(b *bubble) {
				for _, target := range []string{"/r%2Fx", "/r%5cx", "/r%2F%2e%2fx"} {
					b.do("GET", "/r/x")
					synctest.Wait()
					b.do("GET", "/r/x").want(t, "before", 200, "*", "hit")
					b.do("GET", target).want(t, "a read", 200, "*", "fwd=")
					b.do("GET", "/r/x").want(t, "after a read", 200, "*", "hit")
					b.do("PUT", target).want(t, "write", 200, "*", "fwd=method")
					b.do("GET", "/r/x").want(t, "after PUT "+target, 200, "*", "fwd=")

					b.do("GET", target)
					synctest.Wait()
					b.do("PUT", "/r/x").want(t, "write to the plain one", 200, "*", "fwd=method")
					b.do("GET", target).want(t, target+" after PUT /r/x", 200, "*", "fwd=")
				}
			})
		}
	}
}
