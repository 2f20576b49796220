package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/store"
)

// While changes in the database may be unknown, a copy that the origin should confirm, and cannot, stands in for as long as it would be fresh
// otherwise: nothing is known against it. Whether a stale one might stand in is another question, which comes up at the end of its lifetime.
// One against which something is known does not stand in, and a client that wants it confirmed does not get it.
func TestBlindAndFailing(t *testing.T) {
	const s = time.Second
	const unreachable, silent = -1, -2
	fed := func(r *policy.Route) { r.FeedDownTTL, r.TTL, r.Key = 10*s, time.Hour, template(t, "a") }
	and := func(change func(*policy.Route)) func(*policy.Route) {
		return func(r *policy.Route) { fed(r); change(r) }
	}
	type wanted struct {
		status      int
		body, cache string // all of Cache-Status but the name of the cache
	}
	stands, again := wanted{200, "v", "fwd=stale; fwd-status=500; ttl=3580; detail=origin-status"}, wanted{200, "v", "hit; ttl=3579; detail=feed-down"}
	gone := func(b *bubble, o invalidation.Order) { o.Members = []policy.Member{key("a")}; b.order(o) }
	for _, c := range []struct {
		name    string
		route   func(*policy.Route)
		control string // of the origin, whose answers have an ETag
		fails   int    // what the origin answers 20s after the copy
		before  func(b *bubble)
		method  string   // GET
		header  []string // of the request
		first   wanted
		after   time.Duration // a second
		next    wanted        // from GET
	}{
		{name: "an error", route: fed, fails: 500, first: stands, next: again},
		{name: "no connection", route: fed, fails: unreachable, first: wanted{200, "v", "fwd=stale; ttl=3580; detail=origin-error"}, next: again},
		{name: "no answer in time", route: fed, fails: silent, first: wanted{200, "v", "fwd=stale; ttl=3580; detail=origin-timeout"}, next: wanted{200, "v", "hit; ttl=3574; detail=feed-down"}},
		{name: "asked again after the pause", route: fed, fails: 500, first: stands, after: 6 * s, next: wanted{200, "v", "fwd=stale; fwd-status=500; ttl=3574; detail=origin-status"}},
		{name: "must-revalidate, which is about stale copies", route: fed, control: "max-age=600, must-revalidate", fails: 500,
			first: wanted{200, "v", "fwd=stale; fwd-status=500; ttl=580; detail=origin-status"}, next: wanted{200, "v", "hit; ttl=579; detail=feed-down"}},
		{name: "s-maxage, which is so too", route: fed, control: "s-maxage=600, stale-while-revalidate=60", fails: 503,
			first: wanted{200, "v", "fwd=stale; fwd-status=503; ttl=580; detail=origin-status"}, next: wanted{200, "v", "hit; ttl=579; detail=feed-down"}},
		{name: "write-through", route: and(func(r *policy.Route) { r.Policy, r.FencesWrites = policy.WriteThrough, true }), fails: 500, first: stands, next: again},
		{name: "HEAD", route: fed, fails: 500, method: "HEAD", first: wanted{200, "", stands.cache}, next: again},
		{name: "a range", route: fed, fails: 500, header: []string{"Range", "bytes=0-0"}, first: wanted{206, "v", stands.cache}, next: again},
		{name: "an error that says how long it is good for", route: fed, control: "max-age=600", fails: 502,
			first: wanted{200, "v", "fwd=stale; fwd-status=502; ttl=580; detail=origin-status"}, next: wanted{200, "v", "hit; ttl=579; detail=feed-down"}},
		{name: "a client that wants it confirmed", route: and(func(r *policy.Route) { r.Client = policy.HonorClient }), fails: 500, header: []string{"Cache-Control", "no-cache"},
			first: wanted{500, "failed", "fwd=stale; fwd-status=500; detail=status"}, next: wanted{200, "v", "fwd=stale; fwd-status=500; ttl=3579; detail=origin-status"}},
		{name: "an answer of the origin", route: fed, fails: 403, first: wanted{403, "failed", "fwd=stale; fwd-status=403; detail=status"}, next: wanted{403, "failed", "fwd=miss; fwd-status=403; detail=status"}},
		{name: "past its lifetime", route: and(func(r *policy.Route) { r.TTL = 21 * s }), fails: 500,
			first: wanted{200, "v", "fwd=stale; fwd-status=500; ttl=1; detail=origin-status"}, next: wanted{500, "failed", "fwd=stale; fwd-status=500; detail=status"}},
		{name: "past its lifetime, and stale_if_error", route: and(func(r *policy.Route) { r.TTL, r.StaleIfError = 21*s, time.Hour }), fails: 500,
			first: wanted{200, "v", "fwd=stale; fwd-status=500; ttl=1; detail=origin-status"}, next: wanted{200, "v", "hit; ttl=0; detail=expired"}},
		{name: "purged", route: fed, fails: 500, before: func(b *bubble) { gone(b, invalidation.Order{}) },
			first: wanted{500, "failed", "fwd=miss; fwd-status=500; detail=status"}, next: wanted{500, "failed", "fwd=uri-miss; fwd-status=500; detail=status"}},
		{name: "purged softly", route: fed, fails: 500, before: func(b *bubble) { gone(b, invalidation.Order{Soft: true}) },
			first: wanted{500, "failed", "fwd=stale; fwd-status=500; detail=status"}, next: wanted{500, "failed", "fwd=stale; fwd-status=500; detail=status"}},
		{name: "to be confirmed after a gap", route: fed, fails: 500, before: func(b *bubble) { gone(b, invalidation.Order{Confirm: true}) },
			first: wanted{500, "failed", "fwd=stale; fwd-status=500; detail=status"}, next: wanted{500, "failed", "fwd=stale; fwd-status=500; detail=status"}},
		{name: "an instance with nothing in memory", route: fed, fails: 500, before: func(b *bubble) { *b = *b.another() }, first: stands, next: again},
		{name: "not fed", route: func(r *policy.Route) { fed(r); r.FeedDownTTL = 0 }, fails: 500, first: wanted{200, "v", "hit; ttl=3580"}, next: wanted{200, "v", "hit; ttl=3579"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var fails atomic.Int64
			backend := func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Cache-Control"], w.Header()["Etag"] = []string{c.control}, []string{`"v"`}
				w.Header()["Connection"] = []string{"close"}
				switch status := int(fails.Load()); status {
				case 0:
					_, _ = w.Write([]byte("v"))
				case silent:
					<-r.Context().Done()
				default:
					w.WriteHeader(status)
					_, _ = w.Write([]byte("failed"))
				}
			}
			refuse := func() error {
				if fails.Load() == unreachable {
					return errors.New("connection refused")
				}
				return nil
			}
			o := rigOptions{blind: func(time.Time) bool { return true }, below: []store.Tier{&copies{}}, refuse: refuse}
			o.origin.Timeout = 5 * s
			inBubble(t, backend, o, routeFor(t, "all", c.route, "/"), func(b *bubble) {
				b.do("GET", "/a").want(t, "fill", 200, "v", "stored")
				synctest.Wait()
				b.pass(20 * s)
				fails.Store(int64(c.fails))
				if c.before != nil {
					c.before(b)
				}
				first := b.do(cmp.Or(c.method, "GET"), "/a", c.header...)
				b.pass(cmp.Or(c.after, s))
				next := b.do("GET", "/a")
				for i, a := range []answer{first, next} {
					w := []wanted{c.first, c.next}[i]
					a.want(t, fmt.Sprint("read ", i+1), w.status, w.body, "")
					if got := a.header.Get("Cache-Status"); got != "cacheproxy; "+w.cache {
						t.Errorf("read %d: Cache-Status %q, want %q", i+1, got, w.cache)
					}
				}
			})
		})
	}
}
