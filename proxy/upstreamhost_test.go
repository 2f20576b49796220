package proxy

import (
	"net/http"
	"testing"

	"cacheproxy/policy"
)

// Of two APIs that are each sent a Host of their own, neither costs the other a copy: not by the writes of its clients, whatever their
// path, and not by what it answers. An order finds the copies as before, with a host and without.
func TestNoAPIPurgesAnother(t *testing.T) {
	named := func(literal string, fingerprint uint64) func(*policy.Route) {
		return func(r *policy.Route) { r.Host.Literal, r.Fingerprint = literal, fingerprint }
	}
	inBubble(t, counting(func(h http.Header, r *http.Request) int {
		if r.Method == http.MethodPost {
			h.Set("Cache-Group-Invalidation", `"products"`)
			h.Set("Location", "/v/1")
			return 201
		}
		h.Set("Cache-Control", "max-age=60")
		h.Set("Cache-Groups", `"products"`)
		return 200
	}), rigOptions{routes: []*policy.Route{routeFor(t, "b", named("api:8082", 2), "b.example/")}}, routeFor(t, "a", named("api:8081", 1), "a.example/"), func(b *bubble) {
		a, other := b.do("GET", "/v/1", "Host", "a.example").body, b.do("GET", "/v/1", "Host", "b.example").body
		for _, write := range [][2]string{{"PUT", "/v/1"}, {"DELETE", "/v/1"}, {"POST", "/v/1"}, {"POST", "/q"}} {
			b.do(write[0], write[1], "Host", "b.example")
			b.do("GET", "/v/1", "Host", "a.example").want(t, write[0]+" "+write[1]+" at b.example, then a.example", 200, a, "hit")
			again := b.do("GET", "/v/1", "Host", "b.example")
			if again.body == other {
				t.Errorf("%s %s left the copy of its own API", write[0], write[1])
			}
			other = again.body
		}
		for name, members := range map[string][]policy.Member{
			"of every host": policy.PathMembers("", "/v/1"), "of its host": policy.URLMembers("a.example", "/v/1", "", false),
			"of the API's host": policy.PrefixMembers("api", "/v"), "of any host": policy.PathMembers("else.example", "/v/1"),
		} {
			b.invalidate(members...)
			now := b.do("GET", "/v/1", "Host", "a.example").body
			if now == a {
				t.Errorf("a purge of the URL %s left the copy", name)
			}
			a = now
		}
	})
}
