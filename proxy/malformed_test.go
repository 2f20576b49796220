package proxy

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// An answer whose Cache-Control cannot be read is for the one who asked: nobody else gets it, neither from a copy, fresh or
// stale, nor by waiting for it, nor in place of an error.
func TestMalformedCacheControlIsSharedByNobody(t *testing.T) {
	const detail = "detail=cache-control-malformed"
	lenient := func(r *policy.Route) { r.Override = policy.OverrideMalformed }
	for name, c := range map[string]struct {
		route   func(*policy.Route)
		status  int
		header  []string // of the answer
		request []string
		detail  string
	}{
		"behind a semicolon":               {header: []string{"Cache-Control", "max-age=0; private"}, detail: detail},
		"behind a space":                   {header: []string{"Cache-Control", "max-age=60 private"}, detail: detail},
		"behind several":                   {header: []string{"Cache-Control", "max-age=0;no-store;must-revalidate", "ETag", `"e"`}, detail: detail},
		"in another line":                  {header: []string{"Cache-Control", "max-age=60", "Cache-Control", "stale-if-error=60; private"}, detail: detail},
		"an argument that is none":         {header: []string{"Cache-Control", "max-age=60, private=x y"}, detail: detail},
		"a 404":                            {status: 404, header: []string{"Cache-Control", "max-age=60; private"}, detail: detail},
		"an error":                         {status: 503, header: []string{"Cache-Control", "max-age=60; private"}, detail: detail},
		"an error without restriction":     {status: 500, header: []string{"Cache-Control", "max-age=60; x"}, detail: detail},
		"for surrogates":                   {header: []string{"Cache-Control", "max-age=60", "Surrogate-Control", "max-age=60 no-store"}, detail: detail},
		"to a range":                       {header: []string{"Cache-Control", "max-age=60; private", "ETag", `"e"`}, request: []string{"Range", "bytes=0-0"}},
		"to a conditional request":         {header: []string{"Cache-Control", "max-age=60; private", "ETag", `"e"`}, request: []string{"If-None-Match", `"x"`}, detail: detail},
		"overridden, and private":          {route: lenient, header: []string{"Cache-Control", "max-age=60; private"}, detail: "detail=private"},
		"overridden, an error and private": {route: lenient, status: 503, header: []string{"Cache-Control", "max-age=60; private"}, detail: "detail=private"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			var down atomic.Bool
			backend := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
				if down.Load() {
					panic(http.ErrAbortHandler)
				}
				<-time.After(time.Second) // others wait meanwhile
				set(c.header...)(0, w, r)
				if c.status != 0 {
					w.WriteHeader(c.status)
				}
				return true
			}
			route := routeFor(t, "all", func(r *policy.Route) {
				r.TTL, r.NegativeTTL, r.StaleWhileRevalidate, r.StaleIfError = time.Minute, time.Minute, time.Hour, time.Hour
				r.Targets = []string{httpcache.TargetSurrogate}
				if c.route != nil {
					c.route(r)
				}
			}, "/")
			inBubble(t, counted(&asked, backend), rigOptions{}, route, func(b *bubble) {
				seen := map[string]bool{}
				one := func(a answer) {
					if a.want(t, "an answer of its own", max(c.status, 200), "*", c.detail); seen[a.body] {
						t.Errorf("%d %q is another's", a.status, a.body)
					}
					seen[a.body] = true
				}
				answers := make(chan answer, 3)
				for range cap(answers) {
					go func() { answers <- b.do("GET", "/a", c.request...) }()
				}
				for range cap(answers) {
					one(<-answers)
				}
				one(b.do("GET", "/a", c.request...))
				b.pass(2 * time.Minute)
				one(b.do("GET", "/a", c.request...))
				if n := asked.Load(); n < 5 {
					t.Errorf("the origin was asked %d times by five clients", n)
				}
				if c.detail == detail && count(t, b.metrics, "cacheproxy_not_stored_total", "cache-control-malformed") == 0 {
					t.Error("not counted")
				}
				down.Store(true)
				b.do("GET", "/a", c.request...).want(t, "the origin is gone", 502, "*", "")
			})
		})
	}
}

// What is stored already ends with an answer that cannot be read, whichever way it comes.
func TestMalformedCacheControlEndsACopy(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		route  func(*policy.Route)
		kept   bool
	}{
		"200":             {status: 200},
		"304":             {status: 304},
		"304, overridden": {status: 304, route: func(r *policy.Route) { r.Override = policy.OverrideMalformed }, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			var down atomic.Bool
			backend := func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				if down.Load() {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("ETag", `"e"`)
				w.Header().Set("Cache-Control", "max-age=10")
				if n > 1 {
					w.Header().Set("Cache-Control", "max-age=10; x")
					w.WriteHeader(c.status)
				}
				return c.status != http.StatusNotModified || n == 1
			}
			route := routeFor(t, "all", func(r *policy.Route) {
				if r.StaleIfError = time.Hour; c.route != nil {
					c.route(r)
				}
			}, "/")
			inBubble(t, counted(&asked, backend), rigOptions{}, route, func(b *bubble) {
				b.do("GET", "/a").want(t, "fill", 200, "1", "stored")
				b.pass(20 * time.Second)
				b.do("GET", "/a").want(t, "renewed", 200, "*", "fwd=stale")
				synctest.Wait()
				down.Store(true)
				want := 502
				if c.kept {
					want = 200
				}
				b.pass(2 * time.Minute)
				b.do("GET", "/a").want(t, "the origin is gone", want, "*", "")
			})
		})
	}
}

// A part is not kept either.
func TestMalformedCacheControlOfAPart(t *testing.T) {
	var asked atomic.Int64
	backend := func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
		set("Cache-Control", "max-age=60; private", "ETag", `"e"`, "Content-Range", "bytes 0-1/9")(0, w, nil)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "AB")
		return false
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.Range = policy.RangePart }, "/")
	inBubble(t, counted(&asked, backend), rigOptions{}, route, func(b *bubble) {
		for range 2 {
			b.do("GET", "/a", "Range", "bytes=0-1").want(t, "a part", 206, "AB", "detail=cache-control-malformed")
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times by two clients", n)
		}
	})
}
