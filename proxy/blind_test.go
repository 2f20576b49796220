package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// While changes in the database may be unknown, a copy is fresh for FeedDownTTL since it was fetched or confirmed, in memory and below it.
// Then it is confirmed and kept, served while it is renewed where a stale one is, or stands in where the origin fails. No other route
// is concerned, and nothing is as soon as changes are seen again.
func TestBlind(t *testing.T) {
	var blind atomic.Bool
	fed := func(r *policy.Route) { r.FeedDownTTL, r.TTL = 10*time.Second, time.Hour }
	for _, c := range []struct {
		name    string
		control string // of the origin
		route   func(*policy.Route)
		failing bool // the origin, from the second request on
		want    []string
	}{
		{"confirmed", "max-age=3600", fed, false, []string{"fwd=stale; fwd-status=304; stored", "hit"}},
		{"served while it is renewed", "max-age=3600, stale-while-revalidate=60", fed, false, []string{"hit; ttl=3590; detail=feed-down", "hit"}},
		{"stands in", "max-age=3600, stale-if-error=60", fed, true, []string{"fwd=stale; fwd-status=502", "detail="}},
		{"not fed", "max-age=3600", func(*policy.Route) {}, false, []string{"hit", "hit"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			blind.Store(false)
			var asked atomic.Int64
			backend := func(w http.ResponseWriter, r *http.Request) {
				n := asked.Add(1)
				w.Header().Set("Cache-Control", c.control)
				w.Header().Set("ETag", `"v"`)
				switch {
				case c.failing && n > 1:
					w.WriteHeader(http.StatusBadGateway)
				case r.Header.Get("If-None-Match") != "":
					w.WriteHeader(http.StatusNotModified)
				default:
					_, _ = w.Write([]byte("v"))
				}
			}
			below := &copies{}
			inBubble(t, backend, rigOptions{blind: func(time.Time) bool { return blind.Load() }, below: []store.Tier{below}}, routeFor(t, "all", c.route, "/"), func(b *bubble) {
				b.do("GET", "/a")
				synctest.Wait()
				b.pass(9 * time.Second)
				blind.Store(true)
				b.do("GET", "/a").want(t, "blind, and fetched lately", 200, "v", "hit")
				b.pass(time.Second)
				for i, want := range c.want {
					b.do("GET", "/a").want(t, c.name+strings.Repeat(", and again", i), 200, "v", want)
					synctest.Wait()
				}
				after := asked.Load()
				if fromOrigin := after > 1; fromOrigin == (c.name == "not fed") {
					t.Errorf("the origin was asked %d times", after)
				}
				b.pass(20 * time.Second)
				blind.Store(false)
				b.do("GET", "/a").want(t, "seeing again", 200, "v", "hit")
				if asked.Load() != after {
					t.Error("a copy that is fresh was fetched again")
				}
				b.pass(20 * time.Second)
				blind.Store(true)
				other := b.another()
				other.do("GET", "/a").want(t, "an instance without a copy, and one below that is not fetched lately", 200, "v", "")
				if grown := asked.Load() - after; grown > 1 {
					t.Errorf("the origin was asked %d times for one read", grown)
				}
				synctest.Wait()
				explained, err := b.proxy.Explain("GET", "http://shop.test/a", http.Header{})
				if err != nil || strings.Contains(explained.Note, "PostgreSQL") != (c.name != "not fed") {
					t.Errorf("explained: %q, %v", explained.Note, err)
				}
			})
		})
	}
}
