package proxy

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/store"
)

// heard is a log that remembers its orders.
type heard struct {
	invalidation.Log
	orders []invalidation.Order
}

func (h *heard) Invalidate(ctx context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	h.orders = append(h.orders, o)
	return h.Log.Invalidate(ctx, o)
}

func (h *heard) End(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	h.orders = append(h.orders, o)
	return h.Log.End(ctx, f, o)
}

// A write is settled as its upstream needs, and one that was refused makes nobody wait.
func TestOrdersOfAWrite(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Bypass, policy.CacheAside, policy.WriteThrough} {
		t.Run(kind.String(), func(t *testing.T) {
			log := &heard{}
			o := rigOptions{log: func(l *invalidation.Local) invalidation.Log { log.Log = l; return log }}
			conflict := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/conflict" {
					w.WriteHeader(http.StatusConflict)
				}
			}
			route := routeFor(t, "all", func(r *policy.Route) { r.Policy, r.Settle = kind, 2*time.Second }, "/")
			inBubble(t, conflict, o, route, func(b *bubble) {
				b.do("PUT", "/a")
				if len(log.orders) != 1 || log.orders[0].Settle != 2*time.Second || log.orders[0].Wait != invalidation.WaitAll {
					t.Errorf("a write: %+v", log.orders)
				}
				log.orders = nil
				b.do("PUT", "/conflict").want(t, "refused", 409, "*", "")
				if kind != policy.WriteThrough {
					if len(log.orders) > 0 {
						t.Errorf("a write that was refused: %+v", log.orders)
					}
					return
				}
				if len(log.orders) != 1 || log.orders[0].Settle != 0 || log.orders[0].Wait != invalidation.WaitRecorded {
					t.Errorf("a write that was refused: %+v", log.orders)
				}
			})
		})
	}
}

// Whether a write goes through that cannot be announced is for its route to say, with a fence and without. A checkout is never
// refused for the cache's sake.
func TestWritesWithoutTheStore(t *testing.T) {
	for _, c := range []struct {
		kind    policy.Kind
		refuses bool
	}{
		{policy.WriteThrough, true}, {policy.WriteThrough, false},
		{policy.Bypass, true}, {policy.Bypass, false},
		{policy.CacheAside, true}, {policy.CacheAside, false},
		{policy.ReadThrough, false}, {policy.RefreshAhead, false},
	} {
		for name, fail := range map[string]func(b *bubble, c *cupboard){
			"down":         func(_ *bubble, c *cupboard) { c.down.Store(true) },
			"lease lapsed": func(b *bubble, _ *cupboard) { b.pass(held) },
		} {
			t.Run(c.kind.String()+", "+name, func(t *testing.T) {
				var asked atomic.Int64
				var log *brokenLog
				below := &cupboard{}
				o := withBrokenLog(&log)
				o.below, o.lease = []store.Tier{below}, held
				route := routeFor(t, "all", func(r *policy.Route) { r.Policy = c.kind }, "/")
				route.RefusesWrites = c.refuses
				inBubble(t, counted(&asked, nil), o, route, func(b *bubble) {
					b.do("PUT", "/a").want(t, "before", 200, "1", "cacheproxy; fwd=method; fwd-status=200")
					log.broken.Store(true)
					fail(b, below)
					a := b.do("PUT", "/a")
					if c.refuses {
						a.want(t, "rejected", 503, "*", "detail=store-down")
					} else {
						a.want(t, "forwarded", 200, "2", "detail=not-confirmed")
					}
					if got := asked.Load() == 1; got != c.refuses {
						t.Errorf("the origin was asked %d times", asked.Load())
					}
				})
			})
		}
	}
}

// The answer to a write whose invalidation is confirmed only at a second try waits for that, and no longer.
func TestConfirmedAtTheSecondTry(t *testing.T) {
	var asked atomic.Int64
	var log *brokenLog
	inBubble(t, counted(&asked, nil), withBrokenLog(&log), routeFor(t, "all", nil, "/"), func(b *bubble) {
		b.do("GET", "/a")
		log.broken.Store(true)
		time.AfterFunc(2500*time.Millisecond, func() { log.broken.Store(false) })
		start := time.Now()
		a := b.do("PUT", "/a")
		a.want(t, "write", 200, "2", "cacheproxy; fwd=method; fwd-status=200")
		if got := a.header.Get("Cache-Status"); time.Since(start) != 3*time.Second || got != "cacheproxy; fwd=method; fwd-status=200" {
			t.Errorf("took %v, %s", time.Since(start), got)
		}
		b.do("GET", "/a").want(t, "read", 200, "3", "fwd=")
	})
}

// Where the store has been down for so long that no lease can be left, writes do not wait for them to lapse.
func TestWritesInALongFailureDoNotPileUp(t *testing.T) {
	const silence, confirm = 4 * time.Second, 12 * time.Second
	for name, c := range map[string]struct {
		lease  time.Duration
		before time.Duration // since the proxy began
		took   time.Duration
	}{
		"its lease has just lapsed":    {held, held, silence},
		"its lease lapsed before":      {held, held + 3*time.Second, silence - 3*time.Second},
		"down for an hour":             {held, time.Hour, 0},
		"never up":                     {-1, time.Hour, 0},
		"never up, just begun":         {-1, 0, silence},
		"with a lease left":            {held, held - 3*time.Second, silence + 3*time.Second},
		"with more than is waited for": {held, 0, confirm},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			var log *brokenLog
			below := &cupboard{}
			o := withBrokenLog(&log)
			o.below, o.lease, o.confirm, o.silence = []store.Tier{below}, c.lease, confirm, silence
			inBubble(t, counted(&asked, nil), o, routeFor(t, "all", nil, "/"), func(b *bubble) {
				log.broken.Store(true)
				below.down.Store(true)
				b.pass(c.before)
				start := time.Now()
				b.do("PUT", "/a").want(t, "write", 200, "1", "detail=not-confirmed")
				if took := time.Since(start); took.Round(time.Millisecond) != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
}

// A write that waits learns that the store is down, and for how long that is of use.
func TestStoreIsFoundToBeDown(t *testing.T) {
	var asked atomic.Int64
	var log *brokenLog
	below := &cupboard{}
	o := withBrokenLog(&log)
	o.below, o.lease, o.confirm, o.silence = []store.Tier{below}, held, time.Minute, 4*time.Second
	inBubble(t, counted(&asked, nil), o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		log.broken.Store(true)
		b.pass(held - time.Second)
		time.AfterFunc(1500*time.Millisecond, func() { below.down.Store(true) })
		start := time.Now()
		b.do("PUT", "/a").want(t, "write", 200, "1", "detail=not-confirmed")
		if took := time.Since(start); took.Round(time.Millisecond) != 5*time.Second {
			t.Errorf("took %v, want until 4s after the lease lapsed", took)
		}
	})
}

// While the log is away every write is without a fence and unconfirmed: it is told when that begins, and how many there were when it is
// over.
func TestWritesWhileTheLogIsAwayAreToldOnce(t *testing.T) {
	var asked atomic.Int64
	var log *brokenLog
	var lines bytes.Buffer
	o := withBrokenLog(&log)
	o.logger = slog.New(slog.NewTextHandler(&lines, nil))
	route := storing(t)
	route.RefusesWrites = false
	inBubble(t, counted(&asked, nil), o, route, func(b *bubble) {
		write := func(times int) {
			for range times {
				b.do("PUT", "/a")
			}
		}
		told := func(what string) int { return strings.Count(lines.String(), what) }
		write(1)
		if lines.Len() > 0 {
			t.Errorf("told of nothing: %s", &lines)
		}
		for round := range 2 {
			log.broken.Store(true)
			write(20)
			if told("fence not set") != round+1 || told("write not confirmed") != round+1 || told("again") != 2*round {
				t.Errorf("while it is away: %s", &lines)
			}
			log.mend()
			write(3)
			if told("fence not set") != round+1 || told("write not confirmed") != round+1 || told("writes=20") != 2*(round+1) {
				t.Errorf("when it is back: %s", &lines)
			}
		}
	})
}

// What a fence that cannot be lifted stands around is made up for.
func TestFenceThatCannotBeLifted(t *testing.T) {
	var asked atomic.Int64
	var log *brokenLog
	conflict := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PUT" {
			log.broken.Store(true)
			w.WriteHeader(http.StatusConflict)
		}
		return true
	}
	inBubble(t, counted(&asked, conflict), withBrokenLog(&log), storing(t), func(b *bubble) {
		start := time.Now()
		b.do("PUT", "/a").want(t, "write", 409, "1", "")
		if took := time.Since(start); took > 0 {
			t.Errorf("a write that changed nothing waited %v", took)
		}
		b.do("GET", "/a").want(t, "behind the fence", 200, "2", "fwd=")
		synctest.Wait()
		b.do("GET", "/a").want(t, "behind the fence", 200, "3", "fwd=")
		log.mend()
		b.do("GET", "/a").want(t, "lifted", 200, "4", "stored")
		synctest.Wait()
		b.do("GET", "/a").want(t, "stored", 200, "4", "hit")
	})
}

// The lease is explained, and what it means for a copy.
func TestExplainLease(t *testing.T) {
	for name, c := range map[string]struct {
		lease           time.Duration
		route           func(*policy.Route)
		state           string
		decision, after string
	}{
		"alone":        {0, nil, "", "hit", ""},
		"valid":        {time.Hour, nil, "valid", "hit", ""},
		"lapsed":       {held, nil, "lapsed 2s ago; copies are not used", "miss", "lease-lapsed"},
		"excused":      {held, servesStale, "lapsed 2s ago; the route serves what memory has for 58s yet", "hit", ""},
		"read-through": {held, func(r *policy.Route) { r.Policy = policy.ReadThrough }, "lapsed 2s ago; copies are not used", "error", "store-down"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			inBubble(t, counted(&asked, nil), rigOptions{lease: c.lease}, routeFor(t, "all", c.route, "/"), func(b *bubble) {
				b.do("GET", "/a")
				b.pass(held + 2*time.Second)
				e, err := b.proxy.Explain("GET", "http://example.com/a", http.Header{})
				if err != nil {
					t.Fatal(err)
				}
				if e.Lease != c.state || e.Decision != c.decision || e.Reason != c.after || e.Copy == nil || e.Copy.State != "fresh" {
					t.Errorf("lease %q, decision %q, reason %q, copy %+v; want %+v", e.Lease, e.Decision, e.Reason, e.Copy, c)
				}
			})
		})
	}
}
