package proxy

import (
	"context"
	"errors"
	"io"
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

func TestWaitersAreCapped(t *testing.T) {
	var asked atomic.Int64
	slow := func(int64, http.ResponseWriter, *http.Request) bool {
		<-time.After(5 * time.Second)
		return true
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.MaxWaiters = 3 }, "/")
	inBubble(t, counted(&asked, slow), rigOptions{origin: upstream.Options{Timeout: time.Minute}}, route, func(b *bubble) {
		var wg sync.WaitGroup
		var full atomic.Int64
		for range 10 {
			wg.Go(func() {
				a := b.do("GET", "/a")
				if strings.Contains(a.header.Get("Cache-Status"), "waiters-full") {
					full.Add(1)
				}
				if a.status != 200 {
					t.Errorf("status %d", a.status)
				}
			})
		}
		wg.Wait()
		if full.Load() != 6 || asked.Load() != 7 {
			t.Errorf("%d of 10 went past a flight of one and three, %d requests; want 6, 7", full.Load(), asked.Load())
		}
	})
}

func TestWaitTimeout(t *testing.T) {
	var asked atomic.Int64
	slow := func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			<-time.After(20 * time.Second)
		}
		return true
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.WaitTimeout = 2 * time.Second }, "/")
	inBubble(t, counted(&asked, slow), rigOptions{origin: upstream.Options{Timeout: time.Minute}}, route, func(b *bubble) {
		lead := make(chan answer, 1)
		go func() { lead <- b.do("GET", "/a") }()
		synctest.Wait()
		start := time.Now()
		b.do("GET", "/a").want(t, "the one that waited", 200, "2", "fwd=miss; fwd-status=200; collapsed=?0; detail=wait-timeout") // RFC 9211 §2.6
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("waited %v, want 2s", took)
		}
		(<-lead).want(t, "the first", 200, "1", "stored")
	})
}

// Who has waited for an answer that is not for it says so (RFC 9211 §2.6).
func TestWaitedInVain(t *testing.T) {
	var asked atomic.Int64
	slow := func(n int64, w http.ResponseWriter, _ *http.Request) bool {
		<-time.After(time.Second)
		w.Header().Set("Cache-Control", "private")
		return true
	}
	inBubble(t, counted(&asked, slow), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		lead := make(chan answer, 1)
		go func() { lead <- b.do("GET", "/a") }()
		synctest.Wait()
		b.do("GET", "/a").want(t, "the one that waited", 200, "2", "fwd=miss; fwd-status=200; collapsed=?0; detail=private")
		if a := <-lead; strings.Contains(a.header.Get("Cache-Status"), "collapsed") {
			t.Errorf("the first: %q", a.header.Get("Cache-Status"))
		}
		b.do("GET", "/a").want(t, "the next does not wait", 200, "3", "fwd=miss; fwd-status=200; detail=private")
	})
}

func TestPanicOfAFillIsItsOwn(t *testing.T) {
	var asked atomic.Int64
	o := rigOptions{origin: upstream.Options{MaxInFlight: 1, MaxQueue: 50, QueueTimeout: time.Minute, Timeout: time.Minute}}
	slow := func(int64, http.ResponseWriter, *http.Request) bool {
		<-time.After(time.Second)
		return true
	}
	inBubble(t, counted(&asked, slow), o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		route := b.proxy.config().byName["all"]
		upstream := route.Requests
		route.Requests = nil // the defect: the fill panics when it counts the origin's answer
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { b.do("GET", "/a").want(t, "waiting for a fill that panics", 500, "*", "detail=panic") })
		}
		wg.Wait()
		route.Requests = upstream
		b.do("GET", "/a").want(t, "the next one", 200, "2", "stored")
	})
}

// Fills in flight may take a quarter of the memory. What finds no room streams by, is not stored, and says why; it does
// not make later requests go alone.
func TestFillsInFlightHoldTheBudget(t *testing.T) {
	var asked atomic.Int64
	chunk := strings.Repeat("x", 32<<10)
	big := func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
		for range 4 {
			io.WriteString(w, chunk)
		}
		return false
	}
	inBubble(t, counted(&asked, big), rigOptions{memory: 4 << 20}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		budget := b.store.Memory().Budget()
		if !budget.Reserve(1<<20 - 64<<10) {
			t.Fatal("no memory to begin with")
		}
		if a := b.do("GET", "/a"); a.status != 200 || len(a.body) != 128<<10 {
			t.Fatalf("%d, %d bytes", a.status, len(a.body))
		}
		synctest.Wait()
		if n := count(t, b.metrics, "cacheproxy_not_stored_total", "memory-full"); n != 1 {
			t.Errorf("memory-full was counted %d times, want once", n)
		}
		budget.Release(1<<20 - 64<<10)
		if n := budget.Reserved(); n != 0 {
			t.Errorf("%d bytes are still reserved", n)
		}
		b.do("GET", "/a").want(t, "with memory again", 200, "*", "fwd=uri-miss; fwd-status=200; stored")
		synctest.Wait()
		b.do("GET", "/a").want(t, "stored", 200, "*", "hit")
	})
}

// The first client of a stream that nobody shares takes the origin's request with it, also while the origin is silent.
func TestStreamEndsWithItsClient(t *testing.T) {
	for name, header := range map[string][]string{
		"event stream": {"Content-Type", "text/event-stream"},
		"no-store":     {"Cache-Control", "no-store"},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			backend := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(header[0], header[1])
				io.WriteString(w, "first")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				close(ended)
			}
			inBubble(t, backend, rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
				ctx, hangUp := context.WithCancel(b.t.Context())
				done := make(chan answer, 1)
				go func() { done <- b.serve(ctx, "GET", "/a", nil) }()
				synctest.Wait()
				hangUp()
				if a := <-done; a.body != "aborted" {
					t.Errorf("got %q", a.body)
				}
				start := time.Now()
				select {
				case <-ended:
				case <-time.After(time.Hour):
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("the origin's request went on for %v", took)
				}
			})
		})
	}
}

// brokenLog fails to confirm while broken, and records nothing; what waits for this instance only is applied, and queued.
type brokenLog struct {
	invalidation.Log
	broken atomic.Bool
	tries  atomic.Int64
	ended  func() // called after a fence's end was confirmed

	mu     sync.Mutex
	queued []func() // what mend records
}

// mend ends what broke the log.
func (l *brokenLog) mend() {
	l.broken.Store(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, record := range l.queued {
		record()
	}
	l.queued = nil
}

func (l *brokenLog) queue(record func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queued = append(l.queued, record)
}

var errBroken = errors.New("store is down")

func (l *brokenLog) Invalidate(ctx context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	if o.Wait == invalidation.WaitLocal {
		l.queue(func() {})
		return l.Log.Invalidate(ctx, o)
	}
	l.tries.Add(1)
	if l.broken.Load() {
		return invalidation.Receipt{}, errBroken
	}
	return l.Log.Invalidate(ctx, o)
}

func (l *brokenLog) Begin(ctx context.Context, m []policy.Member) (*invalidation.Fence, error) {
	if l.broken.Load() {
		return nil, errBroken
	}
	return l.Log.Begin(ctx, m)
}

func (l *brokenLog) End(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	if o.Wait == invalidation.WaitLocal {
		l.queue(func() { _, _ = l.Log.End(ctx, f, o) }) // it never fails
		return invalidation.Receipt{}, nil
	}
	l.tries.Add(1)
	if l.broken.Load() {
		return invalidation.Receipt{}, errBroken
	}
	r, err := l.Log.End(ctx, f, o)
	if l.ended != nil {
		l.ended()
	}
	return r, err
}

// withBrokenLog gives the log to the test.
func withBrokenLog(to **brokenLog) rigOptions {
	return rigOptions{log: func(l *invalidation.Local) invalidation.Log {
		*to = &brokenLog{Log: l}
		return *to
	}}
}

func TestInvalidationThatFailsIsMadeUpFor(t *testing.T) {
	var asked atomic.Int64
	var log *brokenLog
	inBubble(t, counted(&asked, nil), withBrokenLog(&log), routeFor(t, "all", nil, "/"), func(b *bubble) {
		b.do("GET", "/a").want(t, "fill", 200, "1", "stored")
		synctest.Wait()
		log.broken.Store(true)
		start := time.Now()
		b.do("POST", "/a").want(t, "write", 200, "2", "detail=not-confirmed")
		if took := time.Since(start); took != confirmTimeout {
			t.Errorf("answered after %v, want when every lease must have lapsed, %v", took, confirmTimeout)
		}
		if n := count(t, b.metrics, "cacheproxy_writes_unconfirmed_total", "all"); n != 1 {
			t.Errorf("counted %d writes that were not confirmed, want 1", n)
		}
		b.do("GET", "/a").want(t, "applied here", 200, "3", "fwd=")
		before := log.tries.Load()
		b.pass(10 * time.Second)
		if n := log.tries.Load(); n != before || len(log.queued) != 1 {
			t.Errorf("tried %d times by the proxy itself, and %d are queued in the log; want 0 and 1", n-before, len(log.queued))
		}
	})
}

func TestStoreDown(t *testing.T) {
	for name, forward := range map[string]bool{"reject": false, "forward": true} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			var log *brokenLog
			route := routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.WriteThrough }, "/")
			route.RefusesWrites = !forward
			inBubble(t, counted(&asked, nil), withBrokenLog(&log), route, func(b *bubble) {
				b.do("GET", "/a")
				log.broken.Store(true)
				a := b.do("PUT", "/a")
				if forward {
					a.want(t, "forwarded", 200, "2", "detail=not-confirmed")
				} else {
					a.want(t, "rejected", 503, "*", "detail=store-down")
					if a.header.Get("Retry-After") == "" || asked.Load() != 1 {
						t.Errorf("Retry-After %q, %d requests at the origin", a.header.Get("Retry-After"), asked.Load())
					}
				}
				log.mend()
				if a := b.do("GET", "/a"); forward != (a.body == "3") {
					t.Errorf("read afterwards: %q", a.body)
				}
			})
		})
	}
}

func TestFenceWhoseEndFailsHolds(t *testing.T) {
	var asked atomic.Int64
	var log *brokenLog
	route := routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.WriteThrough }, "/")
	backend := func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PUT" {
			log.broken.Store(true)
		}
		return true
	}
	inBubble(t, counted(&asked, backend), withBrokenLog(&log), route, func(b *bubble) {
		b.do("GET", "/a")
		b.do("PUT", "/a").want(t, "write", 200, "2", "detail=not-confirmed")
		b.do("GET", "/a").want(t, "behind the fence", 200, "3", "fwd=")
		b.do("GET", "/a").want(t, "behind the fence", 200, "4", "fwd=")
		log.mend()
		b.do("GET", "/a").want(t, "the fence is gone", 200, "5", "stored")
		synctest.Wait()
		b.do("GET", "/a").want(t, "stored again", 200, "5", "hit")
	})
}

// An answer that each request has to have confirmed for itself (RFC 9111 §5.2.2.4) is not waited for again and again.
func TestWaitersForWhatMustBeConfirmedGoTogether(t *testing.T) {
	var asked, whole atomic.Int64
	backend := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		<-time.After(time.Second)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", `"v"`)
		if r.Header.Get("If-None-Match") == `"v"` {
			w.WriteHeader(http.StatusNotModified)
			return false
		}
		whole.Add(1)
		return true
	}
	inBubble(t, counted(&asked, backend), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { b.do("GET", "/a").want(t, "one of the crowd", 200, "*", "fwd-status=") })
		}
		wg.Wait()
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("the last waited %v, want three turns of the origin at most, 3s", took)
		}
		if n := whole.Load(); n > 2 {
			t.Errorf("the body was sent %d times, want the copy confirmed", n)
		}
	})
}
