package proxy

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// held is for how long the leases of these tests hold.
const held = 10 * time.Second

// servesStale lets a route serve copies without a lease, for a while.
func servesStale(r *policy.Route) {
	r.OnLeaseLoss, r.LeaseLossMax = policy.LeaseLossServeStale, time.Minute
}

// R6: without a lease nothing stored is used, or what memory has, as the route says.
func TestLapsedLease(t *testing.T) {
	failing := func(n int64, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Cache-Control", "max-age=5, stale-if-error=3600")
		if n > 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
		return true
	}
	for _, c := range []struct {
		name   string
		route  func(*policy.Route)
		origin func(int64, http.ResponseWriter, *http.Request) bool
		do     func(t *testing.T, b *bubble)
	}{
		{name: "origin", do: func(t *testing.T, b *bubble) {
			b.do("GET", "/a").want(t, "without a lease", 200, "2", "cacheproxy; fwd=miss; fwd-status=200; stored; detail=lease-lapsed")
			b.do("GET", "/a").want(t, "and again", 200, "3", "detail=lease-lapsed")
			b.do("GET", "/b").want(t, "nothing is stored either", 200, "4", "detail=lease-lapsed")
			b.do("HEAD", "/a").want(t, "a HEAD", 200, "*", "fwd=miss; fwd-status=200; detail=head-miss")
			b.do("GET", "/a", "Cache-Control", "only-if-cached").want(t, "a client that takes only a copy", 504, "*", "")
			synctest.Wait()
			b.lease.Extend(time.Now().Add(held))
			b.do("GET", "/a").want(t, "what was fetched meanwhile, under its token", 200, "3", "hit; ttl=60")
		}},
		{name: "what was fetched meanwhile is purged by what was not known then", do: func(t *testing.T, b *bubble) {
			b.do("GET", "/a").want(t, "without a lease", 200, "2", "stored")
			synctest.Wait()
			b.purgeAll(false)
			b.lease.Extend(time.Now().Add(held))
			b.do("GET", "/a").want(t, "after the news", 200, "3", "fwd=")
		}},
		{name: "serve_stale", route: servesStale, do: func(t *testing.T, b *bubble) {
			b.do("GET", "/a").want(t, "just lapsed", 200, "1", "hit; ttl=50; detail=lease-lapsed")
			b.pass(time.Minute - time.Second)
			b.do("GET", "/a").want(t, "expired meanwhile", 200, "2", "fwd=stale; fwd-status=200; stored")
			synctest.Wait()
			b.do("GET", "/a").want(t, "fetched meanwhile", 200, "2", "hit; ttl=60; detail=lease-lapsed")
			b.pass(2 * time.Second)
			b.do("GET", "/a").want(t, "lapsed for too long", 200, "3", "fwd=miss; fwd-status=200; stored; detail=lease-lapsed")
		}},
		{name: "serve_stale, and stale while it is renewed", route: servesStale,
			origin: set("Cache-Control", "max-age=5, stale-while-revalidate=60"), do: func(t *testing.T, b *bubble) {
				b.do("GET", "/a").want(t, "stale", 200, "1", "hit; ttl=-5; detail=lease-lapsed")
				synctest.Wait()
				b.do("GET", "/a").want(t, "renewed", 200, "2", "hit; ttl=5; detail=lease-lapsed")
			}},
		{name: "stale-if-error needs the lease", origin: failing, do: func(t *testing.T, b *bubble) {
			b.do("GET", "/a").want(t, "the error", 502, "2", "detail=lease-lapsed")
		}},
		{name: "stale-if-error of serve_stale does not", route: servesStale, origin: failing, do: func(t *testing.T, b *bubble) {
			b.do("GET", "/a").want(t, "the copy", 200, "1", "fwd=stale; fwd-status=502; ttl=-5; detail=lease-lapsed")
		}},
		{name: "a part is not used", route: func(r *policy.Route) { r.Range = policy.RangePart }, origin: ranged, do: func(t *testing.T, b *bubble) {
			b.do("GET", "/part", "Range", "bytes=0-3").want(t, "without a lease", 206, "2222", "detail=lease-lapsed")
		}},
		{name: "nor one of another query", origin: set(httpcache.NoVarySearch, `params=("q")`), do: func(t *testing.T, b *bubble) {
			b.do("GET", "/a?q=2").want(t, "without a lease", 200, "2", "detail=lease-lapsed")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			backend := counted(&asked, func(n int64, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Surrogate-Key", "every")
				return c.origin == nil || c.origin(n, w, r)
			})
			inBubble(t, backend, rigOptions{lease: held}, routeFor(t, "all", c.route, "/"), func(b *bubble) {
				switch {
				case strings.Contains(c.name, "part"):
					b.do("GET", "/part", "Range", "bytes=0-3")
					synctest.Wait()
					b.do("GET", "/part", "Range", "bytes=0-3").want(t, "with a lease", 206, "1111", "hit")
				case strings.Contains(c.name, "query"):
					b.do("GET", "/a?q=1")
					synctest.Wait()
					b.do("GET", "/a?q=2").want(t, "with a lease", 200, "1", "hit")
				default:
					b.do("GET", "/a")
					synctest.Wait()
					b.do("GET", "/a").want(t, "with a lease", 200, "1", "hit")
				}
				b.pass(held)
				c.do(t, b)
			})
		})
	}
}

// ranged answers a request for a part with the number of the request, repeated.
func ranged(n int64, w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Etag", strconv.Quote(strconv.FormatInt(n, 10)))
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat(strconv.FormatInt(n, 10), 100)))
	return false
}

// A copy whose state is not known is not what the origin is asked to confirm: neither by a request without a lease, nor when
// the lease lapses while a request waits for its place.
func TestNothingUnknownIsConfirmed(t *testing.T) {
	for name, c := range map[string]struct {
		lapse func(b *bubble) // before or while the origin is asked
		want  string          // of If-None-Match
	}{
		"with a lease":    {lapse: func(*bubble) {}, want: `"v"`},
		"before":          {lapse: func(b *bubble) { b.pass(held) }},
		"while it waits":  {lapse: func(b *bubble) { go b.do("GET", "/slow"); synctest.Wait() }},
		"held again then": {lapse: func(b *bubble) { go b.do("GET", "/slow"); synctest.Wait(); b.lease.Extend(time.Now().Add(time.Hour)) }, want: `"v"`},
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Value
			backend := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					<-time.After(2 * held)
					return
				}
				sent.Store(r.Header.Get("If-None-Match"))
				w.Header().Set("Cache-Control", "max-age=1")
				w.Header().Set("Etag", `"v"`)
				if r.Header.Get("If-None-Match") != "" {
					w.WriteHeader(http.StatusNotModified)
				}
			}
			o := rigOptions{lease: held, origin: upstream.Options{MaxInFlight: 1, QueueTimeout: time.Hour, Timeout: time.Hour}}
			inBubble(t, backend, o, routeFor(t, "all", nil, "/"), func(b *bubble) {
				b.do("GET", "/a")
				b.pass(2 * time.Second)
				c.lapse(b)
				b.do("GET", "/a").want(t, "fetched", 200, "", "fwd=")
				if got := sent.Load(); got != c.want {
					t.Errorf("If-None-Match %q, want %q", got, c.want)
				}
			})
		})
	}
}

// R5: without a lease, requests share only what is sent to the origin after they came, and still there is one request at the
// origin at a time for each key.
func TestRequestsWithoutALeaseShareTheNextFetch(t *testing.T) {
	const requests = 500
	var load gauge
	var came atomic.Int64
	backend := func(w http.ResponseWriter, _ *http.Request) {
		load.enter()
		defer load.leave()
		seen := came.Load()
		<-time.After(100 * time.Millisecond)
		fmt.Fprint(w, seen)
	}
	o := rigOptions{lease: -1, origin: upstream.Options{MaxInFlight: requests, Timeout: time.Minute}}
	inBubble(t, backend, o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		var crowd sync.WaitGroup
		for range requests {
			crowd.Go(func() {
				number := came.Add(1)
				a := b.do("GET", "/a")
				if seen, err := strconv.ParseInt(a.body, 10, 64); a.status != 200 || err != nil || seen < number {
					t.Errorf("request %d: %d %q, which was asked for when %s requests had come", number, a.status, a.body, a.body)
				}
			})
			b.pass(time.Millisecond)
		}
		crowd.Wait()
		if most := load.most.Load(); most != 1 {
			t.Errorf("the origin worked on %d requests for one key at a time, want 1", most)
		}
		if all := load.all.Load(); all > 7 {
			t.Errorf("the origin was asked %d times in the 500 ms in which requests came and 100 ms later, want 6 times or 7", all)
		}
	})
}

// A fetch from before the lease lapsed is not shared by those who come after, neither while its header is waited for, nor
// while its body grows.
func TestFetchesFromBeforeAreNotShared(t *testing.T) {
	for name, flushes := range map[string]bool{"header": false, "body": true} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			backend := func(w http.ResponseWriter, _ *http.Request) {
				n := asked.Add(1)
				if flushes {
					fmt.Fprint(w, n)
					_ = http.NewResponseController(w).Flush()
				}
				if n == 1 {
					<-time.After(2 * held)
				}
				if !flushes {
					fmt.Fprint(w, n)
				}
			}
			o := rigOptions{lease: held, origin: upstream.Options{Timeout: time.Minute}}
			inBubble(t, backend, o, routeFor(t, "all", nil, "/"), func(b *bubble) {
				answers := make(chan answer, 2)
				go func() { answers <- b.do("GET", "/a") }()
				synctest.Wait()
				go func() { answers <- b.do("GET", "/a") }()
				synctest.Wait()
				b.pass(held)
				b.do("GET", "/a").want(t, "without the lease", 200, "2", "detail=lease-lapsed")
				for range 2 {
					(<-answers).want(t, "from before", 200, "1", "")
				}
			})
		})
	}
}

// A fetch in waiting ends with its proxy, and with the fetch that it waits for whatever comes of that.
func TestFetchInWaitingEnds(t *testing.T) {
	for name, fail := range map[string]func(b *bubble){
		"the one before fails": func(*bubble) {},
		"the proxy closes":     func(b *bubble) { b.proxy.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			backend := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
			o := rigOptions{lease: -1, origin: upstream.Options{Timeout: 10 * time.Second}}
			inBubble(t, backend, o, routeFor(t, "all", nil, "/"), func(b *bubble) {
				answers := make(chan answer, 3)
				for range 3 {
					go func() { answers <- b.do("GET", "/a") }()
					synctest.Wait()
				}
				start := time.Now()
				fail(b)
				for range 3 {
					if a := <-answers; a.status < 500 && a.body != "aborted" {
						t.Errorf("%d %q", a.status, a.body)
					}
				}
				if took := time.Since(start); took > 20*time.Second {
					t.Errorf("took %v, want the patience with the origin twice at most", took)
				}
			})
		})
	}
}

// cupboard is a shelf that can go down.
type cupboard struct {
	shelf
	down atomic.Bool
}

func (c *cupboard) Down() bool { return c.down.Load() }

// Reads of read-through do not go to the origin while the store cannot be reached; those of other policies do.
func TestReadThrough(t *testing.T) {
	failures := map[string]func(b *bubble, c *cupboard){
		"store down":   func(_ *bubble, c *cupboard) { c.fail(); c.down.Store(true) },
		"lease lapsed": func(b *bubble, _ *cupboard) { b.pass(held) },
	}
	for name, fail := range failures {
		for _, kind := range []policy.Kind{policy.ReadThrough, policy.CacheAside, policy.RefreshAhead, policy.WriteThrough} {
			t.Run(name+", "+kind.String(), func(t *testing.T) {
				var asked atomic.Int64
				below := &cupboard{}
				o := rigOptions{lease: held, below: []store.Tier{below}}
				inBubble(t, counted(&asked, nil), o, routeFor(t, "all", func(r *policy.Route) { r.Policy = kind }, "/"), func(b *bubble) {
					b.do("GET", "/a").want(t, "fill", 200, "1", "stored")
					synctest.Wait()
					fail(b, below)
					if name == "store down" {
						b.do("GET", "/a").want(t, "what memory has, with a lease", 200, "1", "hit")
					}
					a := b.do("GET", "/b")
					if kind != policy.ReadThrough {
						a.want(t, "falls back to the origin", 200, "2", "fwd=")
						return
					}
					a.want(t, "refused", 503, "*", "detail=store-down")
					if a.header.Get("Retry-After") == "" || asked.Load() != 1 {
						t.Errorf("Retry-After %q, %d requests at the origin", a.header.Get("Retry-After"), asked.Load())
					}
					b.do("HEAD", "/b").want(t, "a HEAD", 503, "*", "detail=store-down")
					below.down.Store(false)
					b.lease.Extend(time.Now().Add(held))
					b.do("GET", "/b").want(t, "the store is back", 200, "2", "fwd=")
				})
			})
		}
	}
	t.Run("in memory", func(t *testing.T) {
		var asked atomic.Int64
		r := newRig(t, counted(&asked, nil), rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.ReadThrough }, "/"))
		r.do("GET", "/a").want(t, "nothing that could be down", 200, "1", "stored")
	})
}

// A stale copy of read-through is served while the store is down, and the origin not asked for another.
func TestReadThroughRenewsNothingWhileTheStoreIsDown(t *testing.T) {
	var asked atomic.Int64
	below := &cupboard{}
	route := routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.ReadThrough }, "/")
	stale := set("Cache-Control", "max-age=5, stale-while-revalidate=60, stale-if-error=3600")
	inBubble(t, counted(&asked, stale), rigOptions{below: []store.Tier{below}}, route, func(b *bubble) {
		b.do("GET", "/a").want(t, "fill", 200, "1", "stored")
		b.pass(10 * time.Second)
		below.down.Store(true)
		b.do("GET", "/a").want(t, "stale", 200, "1", "hit; ttl=-5")
		synctest.Wait()
		b.pass(time.Minute)
		b.do("GET", "/a").want(t, "in place of the error", 200, "1", "hit; ttl=-65; detail=store-down")
		if n := asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
		if n := b.failures(t); n > 0 {
			t.Errorf("%d renewals count as failed that were not tried", n)
		}
		below.down.Store(false)
		b.do("GET", "/a").want(t, "the store is back", 200, "2", "fwd=")
	})
}

// The tier that all instances share is not asked without a lease: whether what it holds was purged is not known.
func TestTiersAreNotAskedWithoutALease(t *testing.T) {
	var asked atomic.Int64
	below := &shelf{}
	inBubble(t, counted(&asked, nil), rigOptions{lease: held, below: []store.Tier{below}}, routeFor(t, "all", servesStale, "/"), func(b *bubble) {
		b.do("GET", "/a")
		b.pass(held)
		b.store.Memory().Delete(onlyKey(t, below))
		before := below.read()
		b.do("GET", "/a").want(t, "without a lease", 200, "2", "fwd=")
		if got := below.read(); got != before {
			t.Errorf("the tier was asked %d times", got-before)
		}
	})
}

// onlyKey is the key of the one item in a shelf.
func onlyKey(t *testing.T, s *shelf) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.items {
		return key
	}
	t.Fatal("nothing is in the tier")
	return ""
}
