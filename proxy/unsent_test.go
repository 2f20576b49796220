package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// writeRoutes are the routes of a write: with a fence around it, and without.
func writeRoutes(t *testing.T, f func(t *testing.T, kind policy.Kind, route *policy.Route)) {
	for _, kind := range []policy.Kind{policy.CacheAside, policy.WriteThrough} {
		t.Run(kind.String(), func(t *testing.T) {
			f(t, kind, routeFor(t, "all", func(r *policy.Route) { r.Policy, r.FenceHold = kind, 30*time.Second }, "/"))
		})
	}
}

// wantUndone looks for what a write of /a must not have left behind: without a fence the copy is still there, and with one
// the next read stores anew.
func (b *bubble) wantUndone(kind policy.Kind, since invalidation.Token) {
	b.t.Helper()
	if kind == policy.CacheAside {
		if now := b.ledger.Token(); now != since {
			b.t.Errorf("the ledger went from %d to %d", since.Position(), now.Position())
		}
		b.do("GET", "/a").want(b.t, "the copy", 200, "1", "hit")
		return
	}
	b.do("GET", "/a").want(b.t, "after the fence", 200, "1", "hit")
}

// What was not sent has changed nothing: an origin that is down or has no place would otherwise lose the copies that are to
// stand in for it, by writes that it never sees.
func TestWriteThatWasNotSent(t *testing.T) {
	errRefused := errors.New("connection refused")
	for name, c := range map[string]struct {
		options upstream.Options
		busy    int  // requests that hold places, or wait for some
		refused bool // no connection to the origin can be made
		gone    bool // the client leaves
		status  int
	}{
		"queue full":         {options: upstream.Options{MaxInFlight: 1, MaxQueue: 1, QueueTimeout: time.Hour}, busy: 3, status: 503},
		"queue timeout":      {options: upstream.Options{MaxInFlight: 1, MaxQueue: 9, QueueTimeout: time.Second}, busy: 1, status: 503},
		"client gone":        {options: upstream.Options{MaxInFlight: 1, MaxQueue: 9, QueueTimeout: time.Hour}, busy: 1, gone: true},
		"connection refused": {refused: true, status: 502},
	} {
		t.Run(name, func(t *testing.T) {
			writeRoutes(t, func(t *testing.T, kind policy.Kind, route *policy.Route) {
				var asked, written atomic.Int64
				var refuse atomic.Bool
				var release chan struct{}
				backend := func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
					if r.Method == "PUT" {
						written.Add(1)
					}
					if r.URL.Path == "/busy" {
						<-release
					}
					return true
				}
				o := rigOptions{origin: c.options, refuse: func() error {
					if refuse.Load() {
						return errRefused
					}
					return nil
				}}
				o.origin.Timeout = 24 * time.Hour
				inBubble(t, counted(&asked, backend), o, route, func(b *bubble) {
					release = make(chan struct{})
					b.do("GET", "/a").want(t, "before", 200, "1", "stored")
					synctest.Wait()
					var others sync.WaitGroup
					for range c.busy {
						others.Go(func() { b.serve(b.t.Context(), "OPTIONS", "/busy", nil) })
						synctest.Wait()
					}
					if c.refused {
						refuse.Store(true)
						b.proxy.config().routes[route].Origin.CloseIdle()
					}
					since := b.ledger.Token()
					ctx, leave := context.WithCancel(b.t.Context())
					defer leave()
					done := make(chan answer, 1)
					go func() { done <- b.serve(ctx, "PUT", "/a", strings.NewReader("x")) }()
					if c.gone {
						synctest.Wait()
						leave()
					}
					if a := <-done; c.status != 0 && a.status != c.status {
						t.Errorf("write: %d %q", a.status, a.body)
					}
					refuse.Store(false)
					close(release)
					others.Wait()
					if n := written.Load(); n != 0 {
						t.Fatalf("the origin saw %d writes", n)
					}
					b.wantUndone(kind, since)
				})
			})
		})
	}
}

// An origin that does not know a method has not carried it out. Of one that everybody knows, 501 is a failure like any other.
func TestWriteByAnUnknownMethod(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		undone bool
	}{{"XYZZY", 405, true}, {"XYZZY", 501, true}, {"XYZZY", 500, false}, {"XYZZY", 200, false}, {"PUT", 501, false}} {
		t.Run(c.method+http.StatusText(c.status), func(t *testing.T) {
			writeRoutes(t, func(t *testing.T, kind policy.Kind, route *policy.Route) {
				var asked atomic.Int64
				backend := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
					if r.Method == c.method {
						w.WriteHeader(c.status)
					}
					return true
				}
				inBubble(t, counted(&asked, backend), rigOptions{}, route, func(b *bubble) {
					b.do("GET", "/a").want(t, "before", 200, "1", "stored")
					synctest.Wait()
					since := b.ledger.Token()
					b.do(c.method, "/a").want(t, "write", c.status, "2", "")
					if c.undone {
						b.wantUndone(kind, since)
						return
					}
					lookup := "fwd=stale; fwd-status=200; stored; detail=unconfirmed"
					if kind == policy.WriteThrough || c.status == http.StatusOK {
						lookup = "fwd=miss"
					}
					b.do("GET", "/a").want(t, "after", 200, "3", lookup)
				})
			})
		})
	}
}

// panicky is a log with a defect.
type panicky struct {
	invalidation.Log
	defect atomic.Bool
}

func (l *panicky) Invalidate(ctx context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	if l.defect.CompareAndSwap(true, false) {
		panic(http.ErrAbortHandler)
	}
	return l.Log.Invalidate(ctx, o)
}

func (l *panicky) End(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	if l.defect.CompareAndSwap(true, false) {
		panic(http.ErrAbortHandler)
	}
	return l.Log.End(ctx, f, o)
}

// A write in whose middle something goes wrong is one that may have happened. Its fence ends all the same.
func TestWriteWithAPanicInTheMiddle(t *testing.T) {
	for _, status := range []int{200, 409} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			writeRoutes(t, func(t *testing.T, kind policy.Kind, route *policy.Route) {
				var asked atomic.Int64
				log := &panicky{}
				backend := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
					if r.Method == "PUT" {
						log.defect.Store(true)
						w.WriteHeader(status)
					}
					return true
				}
				o := rigOptions{log: func(l *invalidation.Local) invalidation.Log { log.Log = l; return log }}
				inBubble(t, counted(&asked, backend), o, route, func(b *bubble) {
					b.do("GET", "/a").want(t, "before", 200, "1", "stored")
					b.do("PUT", "/a")
					log.defect.Store(false)
					if kind == policy.WriteThrough {
						b.do("GET", "/a").want(t, "behind the fence", 200, "3", "fwd=miss")
						b.pass(31 * time.Second)
					}
					if a := b.do("GET", "/a"); status == 200 && a.body == "1" {
						t.Errorf("the copy from before: %s", a.header["Cache-Status"])
					}
					synctest.Wait()
					b.do("GET", "/a").want(t, "stored again", 200, "*", "hit")
				})
			})
		})
	}
}
