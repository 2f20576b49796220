package proxy

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// A refill that differs although nothing was invalidated is a purge that somebody forgot. Whatever else makes an answer
// differ from the one before is not counted.
func TestChangedWithoutInvalidation(t *testing.T) {
	const etag, noCache = "etag", "no-cache"
	for _, c := range []struct {
		name    string
		route   func(*policy.Route)
		origin  string          // what else it does
		between func(b *bubble) // nil: the copy expires
		second  func(b *bubble) // nil: GET /a
		want    int
	}{
		{name: "after expiry", want: 1},
		{name: "after expiry, with a validator", origin: etag, want: 1},
		{name: "while revalidating", route: func(r *policy.Route) { r.StaleWhileRevalidate = time.Hour }, want: 1},
		{name: "ahead of expiry", route: func(r *policy.Route) { r.Policy, r.MinHits, r.RefreshAt = policy.RefreshAhead, 1, 0.5 },
			between: func(b *bubble) { b.pass(59 * time.Second) }, want: 1},
		{name: "nothing changed", origin: "constant"},
		{name: "confirmed by a 304", origin: "confirm"},
		{name: "first fill", second: func(b *bubble) { b.do("GET", "/other") }},
		{name: "purged", between: func(b *bubble) { b.pass(2 * time.Minute); b.purgeAll(false) }},
		{name: "purged while fresh", between: func(b *bubble) { b.purgeAll(false) }},
		{name: "purged, with a validator", origin: etag, between: func(b *bubble) { b.pass(2 * time.Minute); b.purgeAll(false) }},
		{name: "purged softly", origin: etag, between: func(b *bubble) { b.purgeAll(true) }},
		{name: "to be confirmed", origin: etag, between: func(b *bubble) {
			b.order(invalidation.Order{Members: []policy.Member{policy.All}, Confirm: true})
		}},
		{name: "written through the proxy", between: func(b *bubble) { b.do("PUT", "/a"); b.pass(2 * time.Minute) }},
		{name: "another variant", origin: "vary", second: func(b *bubble) { b.do("GET", "/a", "Accept-Language", "fr") }},
		{name: "an origin that begins to vary", origin: "vary second"},
		{name: "never given without asking", origin: noCache},
		{name: "not found any more, then found", route: func(r *policy.Route) { r.NegativeTTL = time.Minute }, origin: "gone first"},
		{name: "two pages of not found", route: func(r *policy.Route) { r.NegativeTTL = time.Minute }, origin: "gone"},
		{name: "an error in between", origin: "fail second"},
		{name: "so long ago that a purge may be forgotten", between: func(b *bubble) { b.pass(invalidation.MaxFill + 2*time.Minute) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var version atomic.Int64
			backend := func(w http.ResponseWriter, r *http.Request) {
				n := version.Add(1)
				h := w.Header()
				switch c.origin {
				case etag, noCache:
					h.Set("Etag", strconv.Quote(strconv.FormatInt(n, 10)))
					if c.origin == noCache {
						h.Set("Cache-Control", "no-cache")
					}
				case "confirm":
					h.Set("Etag", `"x"`)
					if r.Header.Get("If-None-Match") != "" {
						w.WriteHeader(http.StatusNotModified)
						return
					}
				case "vary":
					h.Set("Vary", "Accept-Language")
				case "vary second":
					if n == 2 {
						h.Set("Vary", "Accept-Language")
					}
				case "constant":
					n = 0
				case "gone":
					w.WriteHeader(http.StatusNotFound)
				case "gone first":
					if n == 1 {
						w.WriteHeader(http.StatusNotFound)
					}
				case "fail second":
					if n == 2 {
						w.WriteHeader(http.StatusBadGateway)
					}
				}
				io.WriteString(w, strconv.FormatInt(n, 10))
			}
			route := routeFor(t, "all", func(r *policy.Route) {
				r.Tags = []policy.Template{template(t, "every")}
				if c.route != nil {
					c.route(r)
				}
			}, "/")
			inBubble(t, backend, rigOptions{origin: upstream.Options{Timeout: time.Minute}}, route, func(b *bubble) {
				b.do("GET", "/a", "Accept-Language", "de")
				synctest.Wait()
				if c.between != nil {
					c.between(b)
				} else {
					b.pass(2 * time.Minute)
				}
				if c.second != nil {
					c.second(b)
				} else {
					b.do("GET", "/a", "Accept-Language", "de")
				}
				synctest.Wait()
				if asked := version.Load(); asked < 2 {
					t.Errorf("the origin was asked %d times", asked)
				}
				if got := count(t, b.metrics, "cacheproxy_changed_without_invalidation_total", "all"); got != c.want {
					t.Errorf("counted %d, want %d", got, c.want)
				}
			})
		})
	}
}

// purgeAll purges what every copy is tagged with.
func (b *bubble) purgeAll(soft bool) {
	if _, err := b.log.Invalidate(context.Background(), invalidation.Order{Members: []policy.Member{tag("every")}, Soft: soft}); err != nil {
		b.t.Fatal(err)
	}
}

// An answer that a purge has overtaken is not called stored (RFC 9211 §2.5), neither to the one who asked first nor to those who waited;
// and it is not.
func TestOvertakenIsNotCalledStored(t *testing.T) {
	var b *bubble
	overtaken := false
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		if overtaken {
			b.invalidate(key("a"))
		}
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "x")
	}, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Key = template(t, "a") }, "/"), func(in *bubble) {
		b = in
		for _, c := range []struct {
			overtaken bool
			want      string
		}{
			{true, "cacheproxy; fwd=uri-miss; fwd-status=200; detail=outdated"},
			{false, "cacheproxy; fwd=uri-miss; fwd-status=200; stored"},
			{false, "cacheproxy; hit; ttl=59"},
		} {
			overtaken = c.overtaken
			if got := b.do("GET", "/").header.Get("Cache-Status"); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			b.pass(time.Second)
		}
		if n := count(t, b.metrics, "cacheproxy_not_stored_total", "outdated"); n != 1 {
			t.Errorf("%d answers were outdated, want 1", n)
		}
	})
}
