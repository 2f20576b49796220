package proxy

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// A copy that may have changed for all that is known is confirmed by the origin before it is used: never served first and confirmed
// later, and kept for the clients of an origin that fails where stale copies are. No read of a write-through route sees it again.
func TestUnconfirmedCopies(t *testing.T) {
	const s = time.Second
	const asks, fresh = "fwd=stale; fwd-status=200; stored; detail=unconfirmed", "hit; ttl="
	windows := func(r *policy.Route) { r.StaleIfError, r.StaleWhileRevalidate = time.Hour, time.Hour }
	honor := func(r *policy.Route) { windows(r); r.Client = policy.HonorClient }
	ahead := func(r *policy.Route) { windows(r); r.Policy, r.RefreshAt, r.MinHits = policy.RefreshAhead, 0.1, 1 }
	through := func(r *policy.Route) {
		windows(r)
		r.Policy, r.FencesWrites, r.RefusesWrites = policy.WriteThrough, true, true
	}
	purge := func(b *bubble) { b.order(invalidation.Order{Members: []policy.Member{policy.All}}) }
	soft := func(b *bubble) { b.order(invalidation.Order{Members: []policy.Member{policy.All}, Soft: true}) }
	confirm := func(b *bubble) { b.order(invalidation.Order{Members: []policy.Member{policy.All}, Confirm: true}) }
	for _, c := range []struct {
		name   string
		route  func(*policy.Route)
		status int // of the origin, after the copy
		etag   bool
		before func(b *bubble)
		header []string // of the first read after
		first  string   // Cache-Status of it
		body   string   // of it
		then   string   // Cache-Status of the next
		asked  int64    // of the origin, in all
	}{
		{"it has changed", windows, 0, false, confirm, nil, asks, "2", fresh, 2},
		{"the origin confirms it", windows, 304, true, confirm, nil, "fwd=stale; fwd-status=304; stored; detail=unconfirmed", "1", fresh, 2},
		{"the origin fails", windows, 503, false, confirm, nil, "fwd=stale; fwd-status=503; ttl=", "1", "hit; ttl=3590; detail=unconfirmed", 2},
		{"the origin fails, and nothing may stand in", func(*policy.Route) {}, 503, false, confirm, nil, "fwd=stale; fwd-status=503", "2", "fwd-status=503", 3},
		{"the client would take a stale one", honor, 0, false, confirm, []string{"Cache-Control", "max-stale=1000"}, asks, "2", fresh, 2},
		{"refreshed ahead", ahead, 0, false, confirm, nil, asks, "2", fresh, 2},
		{"softly purged as well", windows, 0, false, func(b *bubble) { confirm(b); soft(b) }, nil, asks, "2", fresh, 2},
		{"purged before", windows, 503, true, func(b *bubble) { purge(b); confirm(b) }, nil, "fwd=miss; fwd-status=503", "2", "fwd", 3},
		{"purged after", windows, 503, true, func(b *bubble) { confirm(b); purge(b) }, nil, "fwd=miss; fwd-status=503", "2", "fwd", 3},
		{"write-through", through, 0, true, confirm, nil, "fwd=miss; fwd-status=200; stored", "2", fresh, 2},
		{"write-through, and the origin fails", through, 503, true, confirm, nil, "fwd=miss; fwd-status=503", "2", "fwd", 3},
		{"a write of unknown outcome", windows, 500, false, func(b *bubble) { b.do("PUT", "/a") }, nil, "fwd=stale; fwd-status=500; ttl=", "1", "hit; ttl=3590; detail=unconfirmed", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked, status atomic.Int64
			origin := counted(&asked, func(n int64, w http.ResponseWriter, r *http.Request) bool {
				if c.etag {
					w.Header().Set("Etag", `"e"`)
				}
				if at := int(status.Load()); at == http.StatusNotModified {
					if r.Header.Get("If-None-Match") != `"e"` {
						t.Error("the copy is not shown to the origin")
					}
					w.WriteHeader(at)
					return false
				} else if at != 0 {
					w.WriteHeader(at)
				}
				return true
			})
			set := func(r *policy.Route) { r.TTL = time.Hour; c.route(r) }
			inBubble(t, origin, rigOptions{}, routeFor(t, "all", set, "/"), func(b *bubble) {
				b.do("GET", "/a").want(t, "fill", 200, "1", "stored")
				synctest.Wait()
				b.pass(10 * s)
				status.Store(int64(c.status))
				c.before(b)
				want := 200
				if c.body == "2" && c.status >= 500 {
					want = c.status
				}
				b.do("GET", "/a", c.header...).want(t, "first", want, c.body, c.first)
				synctest.Wait()
				b.do("GET", "/a").want(t, "next", want, "*", c.then)
				synctest.Wait()
				if got := asked.Load(); got != c.asked {
					t.Errorf("the origin was asked %d times, want %d", got, c.asked)
				}
			})
		})
	}
}
