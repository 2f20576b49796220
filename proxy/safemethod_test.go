package proxy

import (
	"net/http"
	"strings"
	"testing"

	"cacheproxy/policy"
)

// A method is safe by what RFC 9110 §9.2.1 and the registry of methods say, whether or not a route has the URL: what is safe
// passes and leaves the copy, and anything else is a write of it.
func TestSafeMethods(t *testing.T) {
	for method, safe := range map[string]bool{
		"OPTIONS": true, "TRACE": true, "PROPFIND": true, "REPORT": true, "SEARCH": true, "QUERY": true,
		"POST": false, "PUT": false, "PATCH": false, "DELETE": false, "PROPPATCH": false, "MKCOL": false, "LOCK": false,
		"ANY": false, "search": false,
	} {
		for name, patterns := range map[string][]string{"of the route": {"/"}, "of no route": {"GET /"}} {
			t.Run(method+" "+name, func(t *testing.T) {
				inBubble(t, counting(with("Cache-Control", "max-age=60")), rigOptions{}, routeFor(t, "all", nil, patterns...), func(b *bubble) {
					b.do("GET", "/a").want(t, "before", 200, "1", "stored")
					if method == "TRACE" {
						b.do(method, "/a")
						b.do("GET", "/a").want(t, "after", 200, "1", "cacheproxy; hit")
						return
					}
					outcome := map[bool]string{true: "cacheproxy; fwd=bypass", false: "cacheproxy; fwd=method"}[safe && len(patterns[0]) > 1]
					b.do(method, "/a").want(t, "between", 200, "2", outcome)
					if safe {
						b.do("GET", "/a").want(t, "after", 200, "1", "cacheproxy; hit")
					} else {
						b.do("GET", "/a").want(t, "after", 200, "3", "stored")
					}
				})
			})
		}
	}
}

// A purge on the port of clients purges nothing and is not passed on, in whatever way caches are purged, with a route and without one;
// a route that names the method has it passed on, as a write.
func TestPurgeOfClients(t *testing.T) {
	for _, method := range []string{"PURGE", "BAN", "URIBAN", "PURGEKEYS"} {
		for _, pattern := range []string{"/", "GET /"} {
			inBubble(t, counting(with("Cache-Control", "max-age=60")), rigOptions{}, routeFor(t, "all", nil, pattern), func(b *bubble) {
				b.do("GET", "/a").want(t, "before", 200, "1", "stored")
				w := b.do(method, "/a")
				w.want(t, method, 403, "*", "cacheproxy")
				if !strings.Contains(string(w.body), "admin listener") {
					t.Errorf("%s on %s: no hint in %s", method, pattern, w.body)
				}
				b.do("GET", "/a").want(t, "after", 200, "1", "cacheproxy; hit")
			})
		}
		inBubble(t, counting(with("Cache-Control", "max-age=60")), rigOptions{}, routeFor(t, "all", nil, "/", method+" /"), func(b *bubble) {
			b.do("GET", "/a").want(t, "before", 200, "1", "stored")
			b.do(method, "/a").want(t, method, 200, "2", "fwd=method")
			b.do("GET", "/a").want(t, "after", 200, "3", "stored")
		})
	}
}

// What a field overrides the method with is safe by the same word.
func TestSafeOverride(t *testing.T) {
	for method, safe := range map[string]bool{"SEARCH": true, "propfind": true, "DELETE": false, "ANY": false} {
		inBubble(t, counting(with("Cache-Control", "max-age=60")), rigOptions{}, routeFor(t, "all", func(r *policy.Route) {
			r.ForwardHeaders = policy.ForwardAll
		}, "/"), func(b *bubble) {
			b.do("GET", "/a").want(t, "before", 200, "1", "stored")
			b.do("GET", "/a", http.CanonicalHeaderKey("X-HTTP-Method-Override"), method).want(t, method, 200, "2", "fwd=")
			want := "3"
			if safe {
				want = "1"
			}
			b.do("GET", "/a").want(t, "after "+method, 200, want, "")
		})
	}
}
