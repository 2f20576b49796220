package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// Strangers write to 600,000 URLs of a route while copies live, two names each, which is more than the ledger has marks for. It costs
// the copies that begin as what they write to does, and no others.
func TestFloodOfWritesCostsItsRouteAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	if unlessRace(2) < 2 {
		t.Skip("a tenth as many would leave marks for all; test/norace runs it")
	}
	others := []*policy.Route{routeFor(t, "v", nil, "/v/{id}"), routeFor(t, "special", nil, "/v/special/{id}"), routeFor(t, "w", nil, "/w/{id}")}
	inBubble(t, counting(with("Cache-Control", "max-age=3600")), rigOptions{routes: others}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		copies := map[string]string{}
		for _, path := range []string{"/copy", "/v/special/copy", "/w/copy", "/v/copy"} {
			copies[path] = b.do("GET", path).body
		}
		b.do("PUT", "/v/0") // one goes all the way; what the others would ask of the origin is not the point
		for n := range 600_000 {
			u := httpcache.Target{Scheme: "http", Host: "example.com", Path: fmt.Sprint("/v/", n)}
			ex := &exchange{p: b.proxy}
			ex.r, ex.cfg, ex.target = &http.Request{Method: http.MethodPut}, b.proxy.config(), u
			ex.match, _ = ex.cfg.Table.Match(http.MethodPut, u, nil, netip.Addr{})
			ex.route = ex.cfg.routes[ex.match.Route]
			members, _, _ := ex.route.Effects(&ex.match, u, "", nil, nil)
			w := &writing{ex: ex, members: members, sent: true}
			if err := w.answered(&http.Response{StatusCode: http.StatusOK}); err != nil {
				t.Fatal(err)
			}
		}
		if b.do("GET", "/v/copy").body == copies["/v/copy"] {
			t.Error("a copy of the route is left, which may have been one that was written to")
		}
		delete(copies, "/v/copy")
		for path, body := range copies {
			b.do("GET", path).want(t, path, 200, body, "hit")
		}
	})
}
