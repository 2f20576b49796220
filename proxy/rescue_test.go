package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// RFC 5861 §4: a stale copy stands in for an error of the origin, of the way to it, and for the proxy's own refusal.
func TestStaleIfError(t *testing.T) {
	for name, c := range map[string]struct {
		fail   func(w http.ResponseWriter)
		origin upstream.Options
		status int // what comes where no copy may stand in
	}{
		"500":         {fail: func(w http.ResponseWriter) { w.WriteHeader(500) }, status: 500},
		"503":         {fail: func(w http.ResponseWriter) { w.WriteHeader(503) }, status: 503},
		"breaks off":  {fail: func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, status: 502},
		"timeout":     {fail: func(http.ResponseWriter) { <-time.After(8 * time.Second) }, origin: upstream.Options{Timeout: 2 * time.Second}, status: 504},
		"own refusal": {origin: upstream.Options{MaxInFlight: 1, MaxQueue: -1, Timeout: time.Hour}, status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			backend := func(n int64, w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.URL.Path == "/hold":
					<-time.After(time.Minute)
				case n > 2:
					c.fail(w)
				}
				w.Header().Set("ETag", `"e"`)
				return true
			}
			route := routeFor(t, "all", func(r *policy.Route) {
				r.TTL, r.StaleIfError, r.Key = 10*time.Second, time.Hour, template(t, "{header.X-Name}")
				r.Headers = []string{"X-Name"}
			}, "/")
			inBubble(t, counted(&asked, backend), rigOptions{origin: c.origin}, route, func(b *bubble) {
				b.do("GET", "/a", "X-Name", "a").want(t, "fill", 200, "1", "stored")
				b.do("GET", "/a", "X-Name", "b").want(t, "fill", 200, "2", "stored")
				b.pass(20 * time.Second)
				ctx, cancel := context.WithCancel(b.t.Context())
				defer cancel()
				if c.fail == nil {
					go b.serve(ctx, "GET", "/hold", nil)
					synctest.Wait()
				}
				b.do("GET", "/a", "X-Name", "a").want(t, "stale copy", 200, "1", "detail=")
				b.invalidate(key("b"))
				b.do("GET", "/a", "X-Name", "b").want(t, "a purged copy stands in for nothing", c.status, "*", "")
				if _, err := b.log.Begin(b.t.Context(), []policy.Member{key("a")}); err != nil {
					t.Fatal(err)
				}
				b.do("GET", "/a", "X-Name", "a").want(t, "a fenced copy stands in for nothing", c.status, "*", "")
			})
		})
	}
}

func TestStaleIfErrorOfAnOriginThatIsGone(t *testing.T) {
	var asked atomic.Int64
	var refuse atomic.Bool
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleIfError = 10*time.Second, time.Minute }, "/")
	o := rigOptions{refuse: func() error {
		if refuse.Load() {
			return errors.New("connection refused")
		}
		return nil
	}}
	close1 := set("Connection", "close")
	inBubble(t, counted(&asked, close1), o, route, func(b *bubble) {
		b.do("GET", "/a").want(t, "fill", 200, "1", "stored")
		refuse.Store(true)
		b.pass(20 * time.Second)
		b.do("GET", "/a").want(t, "inside the window", 200, "1", "fwd=stale; ttl=-10; detail=origin-error")
		b.pass(51 * time.Second)
		b.do("GET", "/a").want(t, "beyond the window", 502, "*", "detail=origin-error")
	})
}

func (b *bubble) invalidate(members ...policy.Member) {
	b.t.Helper()
	if _, err := b.log.Invalidate(b.t.Context(), invalidation.Order{Members: members}); err != nil {
		b.t.Fatal(err)
	}
}

// What cannot wait for another's answer, and so goes to the origin by itself, has the copy to fall back on all the same.
func TestStaleIfErrorOfReadsThatGoThrough(t *testing.T) {
	var asked atomic.Int64
	var hold atomic.Bool
	status := map[string]int{}
	backend := func(n int64, w http.ResponseWriter, r *http.Request) bool {
		switch {
		case n == 1:
		case hold.CompareAndSwap(true, false):
			<-time.After(30 * time.Second) // the fill that the others wait for
		case status[r.Method] > 0:
			w.WriteHeader(status[r.Method])
		default:
			panic(http.ErrAbortHandler)
		}
		return true
	}
	route := routeFor(t, "all", func(r *policy.Route) {
		r.TTL, r.StaleIfError, r.Key = 10*time.Second, time.Hour, template(t, "a")
		r.MaxWaiters, r.WaitTimeout = 1, 10*time.Second
	}, "/")
	for name, fail := range map[string]int{"broken off": 0, "503": 503, "404 is an answer": 404} {
		status = map[string]int{"HEAD": fail, "GET": fail}
		asked.Store(0)
		t.Run(name, func(t *testing.T) {
			inBubble(t, counted(&asked, backend), rigOptions{origin: upstream.Options{Timeout: time.Minute}}, route, func(b *bubble) {
				b.do("GET", "/a").want(t, "filled", 200, "1", "stored")
				b.pass(20 * time.Second)
				want, body, purged := 200, "1", fail
				switch fail {
				case 0:
					purged = 502
				case 404:
					want, body = 404, "*"
				}
				hold.Store(true)
				answers := make(chan answer, 3)
				for range 3 { // one leads, one waits and gives up, one finds no room to wait
					go func() { answers <- b.do("GET", "/a") }()
					synctest.Wait()
				}
				(<-answers).want(t, "no room to wait", want, body, "")
				(<-answers).want(t, "waited for too long", want, body, "")
				<-answers
				b.pass(10 * time.Minute) // the origin is left alone after it failed
				b.do("HEAD", "/a").want(t, "HEAD", want, "", "fwd=")
				b.invalidate(key("a"))
				b.do("HEAD", "/a").want(t, "a purged copy stands in for nothing", purged, "*", "")
			})
		})
	}
}
