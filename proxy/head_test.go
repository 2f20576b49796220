package proxy

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// A HEAD never brings back what was invalidated, before it was sent or while it was under way, and what it renews can be
// purged as before.
func TestHeadDoesNotBringBack(t *testing.T) {
	for _, c := range []struct {
		about  string
		during bool   // the purge comes while the origin works on the HEAD
		first  bool   // it comes before the HEAD
		cache  string // of the read after the HEAD
		body   string
	}{
		{about: "no purge", cache: "hit", body: "GET 1"},
		{about: "before", first: true, cache: "stored", body: "GET 3"},
		{about: "during", during: true, cache: "stored", body: "GET 3"},
	} {
		t.Run(c.about, func(t *testing.T) {
			var b *bubble
			n := 0
			purge := func() {
				if _, err := b.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{tag("products")}}); err != nil {
					t.Error(err)
				}
			}
			inBubble(t, func(w http.ResponseWriter, r *http.Request) {
				n++
				w.Header().Set("Cache-Control", "max-age=10")
				w.Header().Set("ETag", `"1"`)
				if r.Method == "HEAD" {
					if c.during {
						purge()
					}
					return
				}
				w.Header().Set("Surrogate-Key", "products")
				fmt.Fprint(w, r.Method, " ", n)
			}, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.TTL, r.ForwardHeaders = 0, policy.ForwardAll }, "/"), func(in *bubble) {
				b = in
				b.do("GET", "/a").want(t, "the copy", 200, "GET 1", "stored")
				b.pass(15 * time.Second)
				if c.first {
					purge()
				}
				b.do("HEAD", "/a").want(t, "the HEAD", 200, "", "head-miss")
				b.do("GET", "/a").want(t, "after it", 200, c.body, c.cache)
				purge() // by the tag that only the first answer had
				b.do("GET", "/a").want(t, "after a purge", 200, fmt.Sprint("GET ", n), "stored; detail=purged")
			})
		})
	}
}
