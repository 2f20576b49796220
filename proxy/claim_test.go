package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// Of all instances that lack a copy, one goes to the origin.
func TestColdKeyIsFetchedOnceForAllInstances(t *testing.T) {
	var asked atomic.Int64
	fleet(t, counted(&asked, slowly(time.Second, nil)), 3, rigOptions{lease: time.Hour}, routeFor(t, "all", nil, "/"), func(all []*bubble, d *desk, _ *copies) {
		var crowd sync.WaitGroup
		for i := range 500 {
			crowd.Go(func() { all[i%3].do("GET", "/cold").want(t, "one of the crowd", 200, "1", "cacheproxy; ") })
		}
		start := time.Now()
		crowd.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want as long as the origin, 1s", took)
		}
		synctest.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times, want once", n)
		}
		for _, how := range d.released {
			if how != store.Shared {
				t.Errorf("a claim was given back as %v", how)
			}
		}
		for _, b := range all {
			b.do("GET", "/cold").want(t, "afterwards", 200, "1", "hit")
		}
	})
}

// An instance that claims just after another has brought the copy finds it there.
func TestClaimAfterTheCopyLanded(t *testing.T) {
	var asked atomic.Int64
	d := &desk{}
	var first *bubble
	o := rigOptions{claims: claimsFunc(func(ctx context.Context, key string) (store.Claim, error) {
		if before := first; before != nil { // between the look of the one behind into the tier and its claim
			first = nil
			before.do("GET", "/a")
			synctest.Wait()
		}
		return d.Claim(ctx, key)
	})}
	fleet(t, counted(&asked, nil), 2, o, routeFor(t, "all", nil, "/"), func(all []*bubble, _ *desk, _ *copies) {
		first = all[0]
		behind := all[1]
		behind.do("GET", "/a").want(t, "the one behind", 200, "1", "hit")
		synctest.Wait()
		d.want(t, "both", store.Shared, store.Shared)
	})
}

// claimsFunc is claims as a func.
type claimsFunc func(ctx context.Context, key string) (store.Claim, error)

func (f claimsFunc) Claim(ctx context.Context, key string) (store.Claim, error) { return f(ctx, key) }

// An answer that is of no use to others sends those who wait for it to the origin as soon as that is known.
func TestClaimsOnWhatCannotBeShared(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(n int64, w http.ResponseWriter, r *http.Request) bool
		route  func(*policy.Route)
		how    store.ClaimResult
		status int
	}{
		"private":    {answer: set("Cache-Control", "private"), how: store.Unshared, status: 200},
		"no-cache":   {answer: set("Cache-Control", "no-cache"), how: store.Unshared, status: 200},
		"Set-Cookie": {answer: set("Set-Cookie", "a=b"), how: store.Unshared, status: 200},
		"an error": {answer: func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}, how: store.Unshared, status: 500},
		"no answer": {answer: func(int64, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, how: store.Unshared, status: 502},
		"too small": {answer: func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
			_ = http.NewResponseController(w).Flush() // its length is not declared
			return true
		}, route: func(r *policy.Route) { r.StoreIf.MinBytes = 100 }, how: store.Unshared, status: 200},
		"too large": {answer: func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
			for range 70 {
				fmt.Fprint(w, strings.Repeat("x", 16<<10))
			}
			return true
		}, how: store.Unshared, status: 200},
		"broken off": {answer: func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "some")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, how: store.Unshared},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			fleet(t, counted(&asked, slowly(time.Second, c.answer)), 2, rigOptions{}, routeFor(t, "all", c.route, "/"), func(all []*bubble, d *desk, _ *copies) {
				var both sync.WaitGroup
				for i, b := range all {
					both.Go(func() {
						<-time.After(time.Duration(i) * time.Millisecond)
						if a := b.do("GET", "/a"); a.status != c.status {
							t.Errorf("%d %q, want %d", a.status, a.body, c.status)
						}
					})
				}
				start := time.Now()
				both.Wait()
				if took := time.Since(start); took != 2*time.Second {
					t.Errorf("took %v, want that each has its turn at the origin, 2s", took)
				}
				synctest.Wait()
				if n := asked.Load(); n != 2 {
					t.Errorf("the origin was asked %d times, want once by each", n)
				}
				d.want(t, "the first", c.how)
			})
		})
	}
}

// The body of an answer that is nobody else's may take its time: those who wait for it know from its header.
func TestClaimIsGivenBackWithTheHeader(t *testing.T) {
	var asked atomic.Int64
	backend := func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		w.Header().Set("Cache-Control", "private")
		fmt.Fprint(w, n)
		_ = http.NewResponseController(w).Flush()
		if n == 1 {
			<-time.After(time.Hour)
		}
	}
	fleet(t, backend, 2, rigOptions{}, routeFor(t, "all", nil, "/"), func(all []*bubble, d *desk, _ *copies) {
		done := make(chan answer, 1)
		go func() { done <- all[0].do("GET", "/a") }()
		synctest.Wait()
		start := time.Now()
		all[1].do("GET", "/a").want(t, "another instance", 200, "2", "fwd=")
		if took := time.Since(start); took > 0 {
			t.Errorf("waited %v for a body that is nobody else's", took)
		}
		<-done
	})
}

// An instance that dies leaves the fetch to another, and so does one whose answer was outdated when it came.
func TestFillThatCameToNothingIsTakenOver(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(b *bubble)
		released  []store.ClaimResult
	}{
		"closed":   {func(b *bubble) { b.proxy.Close() }, []store.ClaimResult{store.Vacant, store.Shared}},
		"outdated": {func(b *bubble) { b.invalidate(key("a")) }, []store.ClaimResult{store.Vacant, store.Shared}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			route := routeFor(t, "all", func(r *policy.Route) { r.Key = template(t, "a") }, "/")
			fleet(t, counted(&asked, slowly(time.Second, nil)), 2, rigOptions{}, route, func(all []*bubble, d *desk, _ *copies) {
				go all[0].do("GET", "/a")
				synctest.Wait()
				second := make(chan answer, 1)
				go func() { second <- all[1].do("GET", "/a") }()
				synctest.Wait()
				c.meanwhile(all[0])
				(<-second).want(t, "the other instance", 200, "2", "fwd=")
				synctest.Wait()
				d.want(t, "both", c.released...)
			})
		})
	}
}

// A fill that panics gives its claim back, and its place.
func TestPanicGivesTheClaimBack(t *testing.T) {
	var asked atomic.Int64
	fleet(t, counted(&asked, nil), 2, rigOptions{}, routeFor(t, "all", nil, "/"), func(all []*bubble, d *desk, _ *copies) {
		all[0].proxy.config().byName["all"].Requests = nil // the defect: the fill panics when it counts the origin's answer
		all[0].do("GET", "/a").want(t, "the fill that panics", 500, "*", "detail=panic")
		synctest.Wait()
		all[1].do("GET", "/a").want(t, "another instance", 200, "2", "stored")
		synctest.Wait()
		d.want(t, "both", store.Vacant, store.Shared)
	})
}

// stuck is a claim that another instance has, for ever.
type stuck struct {
	how   store.ClaimResult
	waits bool
}

func (stuck) Held() bool                { return false }
func (stuck) Release(store.ClaimResult) { panic("a claim that is not held is given back") }
func (s stuck) Await(ctx context.Context) (store.ClaimResult, error) {
	if s.waits {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return s.how, nil
}

// Whatever becomes of the claims, a fill has its answer in the end, and those who wait for it do not lose their patience
// before.
func TestClaimsThatFail(t *testing.T) {
	patience := 4 * time.Second
	for name, c := range map[string]struct {
		claims claimsFunc
		asks   int
		took   time.Duration
	}{
		"never answer":                       {func(ctx context.Context, _ string) (store.Claim, error) { <-ctx.Done(); return nil, ctx.Err() }, 1, 200 * time.Millisecond},
		"fail":                               {func(context.Context, string) (store.Claim, error) { return nil, errors.New("valkey is gone") }, 1, 0},
		"are vacant":                         {func(context.Context, string) (store.Claim, error) { return stuck{how: store.Vacant}, nil }, 4, 0},
		"land nothing":                       {func(context.Context, string) (store.Claim, error) { return stuck{how: store.Shared}, nil }, 4, 0},
		"are held by an instance that hangs": {func(context.Context, string) (store.Claim, error) { return stuck{waits: true}, nil }, 1, patience / 4 * 3},
	} {
		t.Run(name, func(t *testing.T) {
			var asked, claimed atomic.Int64
			o := rigOptions{claims: claimsFunc(func(ctx context.Context, key string) (store.Claim, error) {
				claimed.Add(1)
				return c.claims(ctx, key)
			})}
			fleet(t, counted(&asked, nil), 1, o, routeFor(t, "all", func(r *policy.Route) { r.WaitTimeout = patience }, "/"), func(all []*bubble, _ *desk, _ *copies) {
				start := time.Now()
				var crowd sync.WaitGroup
				for range 50 {
					crowd.Go(func() { all[0].do("GET", "/a").want(t, "one of the crowd", 200, "1", "") })
				}
				crowd.Wait()
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if n := claimed.Load(); n != int64(c.asks) {
					t.Errorf("claimed %d times, want %d", n, c.asks)
				}
				synctest.Wait()
				all[0].do("GET", "/a").want(t, "stored", 200, "1", "hit")
			})
		})
	}
}

// What other instances could not use is not claimed.
func TestNothingIsClaimedInVain(t *testing.T) {
	secret := func(r *policy.Route) { r.ForwardHeaders = policy.ForwardAll }
	for name, c := range map[string]struct {
		route  func(*policy.Route)
		answer func(int64, http.ResponseWriter, *http.Request) bool
		before func(b *bubble, c *copies)
		header []string
		method string
	}{
		"lease lapsed":      {before: func(b *bubble, _ *copies) { b.pass(held) }},
		"tier down":         {before: func(_ *bubble, c *copies) { c.down.Store(true) }},
		"credentials":       {header: []string{"Authorization", "Bearer x"}},
		"credentials alone": {header: []string{"Authorization", "Bearer x"}, route: secret},
		"a part":            {header: []string{"Range", "bytes=0-1"}, route: func(r *policy.Route) { r.Range = policy.RangePart }},
		"a HEAD":            {method: "HEAD"},
		"a cookie":          {header: []string{"Cookie", "a=b"}},
		"hit-for-miss": {answer: set("Cache-Control", "private"), before: func(b *bubble, _ *copies) {
			b.do("GET", "/a")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			fleet(t, counted(&asked, c.answer), 1, rigOptions{lease: held}, routeFor(t, "all", c.route, "/"), func(all []*bubble, d *desk, shelf *copies) {
				if c.before != nil {
					c.before(all[0], shelf)
				}
				before := d.claims()
				method := c.method
				if method == "" {
					method = "GET"
				}
				if a := all[0].do(method, "/a", c.header...); a.status >= 300 {
					t.Errorf("%d", a.status)
				}
				synctest.Wait()
				if n := d.claims() - before; n != 0 {
					t.Errorf("claimed %d times", n)
				}
			})
		})
	}
}

// Of the instances that have a copy which is due, one renews it and the others find what it has brought.
func TestOneInstanceRenews(t *testing.T) {
	for name, route := range map[string]*policy.Route{
		"ahead": refreshing(t),
		"stale": routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleWhileRevalidate = 90*time.Second, time.Hour }, "/"),
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			slow := func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
				if n > 1 {
					<-time.After(3 * time.Second)
				}
				return true
			}
			fleet(t, counted(&asked, slow), 3, rigOptions{}, route, func(all []*bubble, d *desk, _ *copies) {
				read := func(what, body string) {
					t.Helper()
					for _, b := range all {
						b.do("GET", "/a").want(t, what, 200, body, "")
						b.do("GET", "/a")
					}
					synctest.Wait()
				}
				read("fill", "1")
				filled := d.waited
				b := all[0]
				b.pass(95 * time.Second)
				for range 30 {
					read("while one renews it", "1")
					b.pass(100 * time.Millisecond)
				}
				if n := d.claims(); n > 50 {
					t.Errorf("claimed %d times in 3 s, want once in 250ms by each of two instances", n)
				}
				if n := d.waited - filled; n > 0 {
					t.Errorf("%d renewals waited for another instance, and kept others from being made", n)
				}
				b.pass(250 * time.Millisecond)
				read("to find what is there", "*")
				read("renewed", "2")
				if n := asked.Load(); n != 2 {
					t.Errorf("the origin was asked %d times, want twice", n)
				}
				if n := all[1].failures(t); n > 0 {
					t.Errorf("%d renewals count as failed that were left to another instance", n)
				}
				for _, how := range d.released {
					if how != store.Shared {
						t.Errorf("a claim was given back as %v", how)
					}
				}
			})
		})
	}
}

// failures counts the renewals of /a that failed.
func (b *bubble) failures(t *testing.T) uint32 {
	t.Helper()
	e, err := b.proxy.Explain("GET", "http://example.com/a", http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	found := b.store.Lookup(string(mustHex(t, e.StorageKey)), nil, time.Now())
	if found.Copy == nil {
		t.Fatal("no copy")
	}
	defer found.Release()
	return found.Copy.Use.Failures()
}

// A request for a copy that another instance renews, and that was lost here, waits for it.
func TestRequestJoinsARenewalThatIsLeft(t *testing.T) {
	var asked atomic.Int64
	o := rigOptions{origin: upstream.Options{Timeout: time.Minute}}
	fleet(t, counted(&asked, slowly(time.Second, nil)), 2, o, refreshing(t), func(all []*bubble, d *desk, c *copies) {
		for range 3 {
			for _, b := range all {
				b.do("GET", "/a")
			}
			synctest.Wait()
		}
		all[0].pass(95 * time.Second)
		all[0].do("GET", "/a") // renews it
		synctest.Wait()
		all[1].store.Memory().Delete(onlyKey(t, &c.shelf))
		c.Empty()
		all[1].do("GET", "/a").want(t, "without a copy of its own", 200, "2", "hit")
		if n := asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}
