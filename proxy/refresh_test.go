package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
)

// refreshing is a route that renews copies ahead: 100 s of lifetime, due between 80 and 90 s of age.
// For how long a copy is left alone whose renewal has failed: at first, and at most.
const (
	failedPause    = 5 * time.Second
	maxFailedPause = 5 * time.Minute
)

func refreshing(t *testing.T) *policy.Route {
	return routeFor(t, "all", func(r *policy.Route) { r.Policy, r.TTL = policy.RefreshAhead, 100*time.Second }, "/")
}

func TestRefreshAheadRenewsAtTheFraction(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, counted(&asked, nil), rigOptions{}, refreshing(t), func(b *bubble) {
		b.do("GET", "/a").want(t, "fill", 200, "1", "stored")
		b.do("GET", "/a")
		b.do("GET", "/a")
		b.pass(79 * time.Second)
		b.do("GET", "/a").want(t, "before the fraction", 200, "1", "hit")
		synctest.Wait()
		if n := asked.Load(); n != 1 {
			t.Fatalf("the origin was asked %d times before the copy was due", n)
		}
		b.pass(12 * time.Second)
		b.do("GET", "/a").want(t, "the read that is due is not delayed", 200, "1", "hit")
		synctest.Wait()
		b.do("GET", "/a").want(t, "after the renewal", 200, "2", "hit; ttl=100")
		if n := asked.Load(); n != 2 {
			t.Fatalf("the origin was asked %d times, want twice", n)
		}
		b.pass(101 * time.Second)
		b.do("GET", "/a").want(t, "a copy that nobody read expires", 200, "3", "fwd=stale")
	})
}

func TestRefreshAheadOnlyAfterMinHits(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, counted(&asked, nil), rigOptions{}, refreshing(t), func(b *bubble) {
		b.do("GET", "/a")
		b.pass(95 * time.Second)
		b.do("GET", "/a").want(t, "first read", 200, "1", "hit")
		synctest.Wait()
		if n := asked.Load(); n != 1 {
			t.Fatalf("a copy read once was renewed: %d requests", n)
		}
		b.do("GET", "/a").want(t, "second read", 200, "1", "hit")
		synctest.Wait()
		if n := asked.Load(); n != 2 {
			t.Fatalf("a copy read twice was not renewed: %d requests", n)
		}
	})
}

func TestOneRefreshPerCopyAndReadsGoOn(t *testing.T) {
	var asked atomic.Int64
	slow := func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
		if n > 1 {
			<-time.After(3 * time.Second)
		}
		return true
	}
	inBubble(t, counted(&asked, slow), rigOptions{}, refreshing(t), func(b *bubble) {
		b.do("GET", "/a")
		b.pass(95 * time.Second)
		start := time.Now()
		for range 50 {
			b.do("GET", "/a").want(t, "while it is renewed", 200, "1", "hit")
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("reads waited %v for the renewal", took)
		}
		b.pass(4 * time.Second)
		if n := asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times, want twice", n)
		}
		b.do("GET", "/a").want(t, "renewed", 200, "2", "hit")
	})
}

func TestCopiesFilledTogetherAreRenewedApart(t *testing.T) {
	const copies = 40
	var asked atomic.Int64
	path := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		fmt.Fprint(w, r.URL.Path)
		return false
	}
	inBubble(t, counted(&asked, path), rigOptions{}, refreshing(t), func(b *bubble) {
		read := func() {
			for i := range copies {
				b.do("GET", fmt.Sprintf("/%d", i))
			}
			synctest.Wait()
		}
		read()
		read()
		read()
		b.pass(80*time.Second - time.Millisecond)
		busy, before := 0, asked.Load()
		for range 11 {
			read()
			if now := asked.Load(); now > before {
				busy, before = busy+1, now
			}
			b.pass(time.Second)
		}
		if n := asked.Load(); n != 2*copies {
			t.Errorf("%d requests, want every copy renewed once", n)
		}
		if busy < 6 {
			t.Errorf("renewals fell into %d of 10 seconds, want them spread", busy)
		}
	})
}

func TestRefreshIsTheFirstToGo(t *testing.T) {
	var asked atomic.Int64
	hold := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/hold" {
			w.Header().Set("Cache-Control", "no-store")
			<-time.After(10 * time.Second)
		}
		return true
	}
	o := rigOptions{origin: upstream.Options{MaxInFlight: 1, MaxQueue: 1, QueueTimeout: 20 * time.Second, Timeout: time.Minute}}
	inBubble(t, counted(&asked, hold), o, refreshing(t), func(b *bubble) {
		b.do("GET", "/a")
		b.pass(95 * time.Second)
		go b.do("GET", "/hold")
		synctest.Wait()
		b.do("GET", "/a")
		b.do("GET", "/a") // queues the renewal
		synctest.Wait()
		done := make(chan answer, 1)
		go func() { done <- b.do("GET", "/cold") }()
		(<-done).want(t, "a fill takes the place of a renewal in a full queue", 200, "3", "stored")
	})
}

func TestFailedRenewalPauses(t *testing.T) {
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusInsufficientStorage} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			var asked atomic.Int64
			failing := func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				if n > 1 {
					w.WriteHeader(status)
				}
				return true
			}
			inBubble(t, counted(&asked, failing), rigOptions{}, refreshing(t), func(b *bubble) {
				b.do("GET", "/a")
				b.pass(91 * time.Second)
				for range 10 {
					b.do("GET", "/a").want(t, "the copy stays", 200, "1", "hit")
					synctest.Wait()
				}
				if n := asked.Load(); n != 2 {
					t.Errorf("%d requests, want one renewal and then a pause", n)
				}
				b.pass(failedPause + time.Second)
				b.do("GET", "/a").want(t, "after the pause", 200, "1", "hit")
				synctest.Wait()
				if n := asked.Load(); n != 3 {
					t.Errorf("%d requests, want another renewal after the pause", n)
				}
			})
		})
	}
}

// Renewals of one copy that fail become rarer, and the origin's own wish to be left alone is heeded.
func TestFailedRenewalsBackOff(t *testing.T) {
	tries := func(t *testing.T, retryAfter string, over time.Duration) (at []time.Duration) {
		var asked atomic.Int64
		var start time.Time
		failing := func(n int64, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				at = append(at, time.Since(start))
				if retryAfter != "" {
					w.Header().Set("Retry-After", retryAfter)
				}
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return true
		}
		route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleWhileRevalidate = 10*time.Second, 24*time.Hour }, "/")
		inBubble(t, counted(&asked, failing), rigOptions{}, route, func(b *bubble) {
			b.do("GET", "/a")
			b.pass(11 * time.Second)
			start = time.Now()
			for time.Since(start) < over {
				b.do("GET", "/a").want(t, "stale meanwhile", 200, "1", "hit")
				b.pass(time.Second)
			}
		})
		return at
	}
	at := tries(t, "", time.Hour)
	pause := failedPause
	for i := 1; i < len(at); i++ {
		if d := at[i] - at[i-1]; d < pause*3/4 || d > pause+2*time.Second {
			t.Errorf("pause %d: %v, want %v less up to a quarter", i, d, pause)
		}
		pause = min(2*pause, maxFailedPause)
	}
	if n := len(at); n < 15 || n > 21 {
		t.Errorf("%d tries in an hour: %v", n, at)
	}
	if at := tries(t, "600", time.Hour); len(at) != 6 {
		t.Errorf("%d tries in an hour, and the origin asks for pauses of ten minutes: %v", len(at), at)
	}
	if at := tries(t, "604800", 2*time.Hour); len(at) != 2 {
		t.Errorf("%d tries in two hours, want one an hour whatever the origin asks: %v", len(at), at)
	}
}

// R11: what was purged while it was being renewed does not come back.
func TestPurgeDuringRenewal(t *testing.T) {
	var asked atomic.Int64
	slow := func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
		if n == 2 {
			<-time.After(2 * time.Second)
		}
		return true
	}
	route := refreshing(t)
	route.Key = template(t, "a")
	inBubble(t, counted(&asked, slow), rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a")
		b.pass(95 * time.Second)
		b.do("GET", "/a")
		b.do("GET", "/a")
		synctest.Wait()
		b.invalidate(key("a"))
		b.do("GET", "/a").want(t, "while the old renewal is under way", 200, "3", "fwd=")
		b.pass(5 * time.Second)
		b.do("GET", "/a").want(t, "after it has ended", 200, "3", "hit")
	})
}

func TestStaleWhileRevalidateRenews(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, counted(&asked, set("Cache-Control", "max-age=10, stale-while-revalidate=60", "Vary", "X-Lang")), rigOptions{},
		routeFor(t, "all", nil, "/"), func(b *bubble) {
			b.do("GET", "/a", "X-Lang", "de").want(t, "not known to be named by Vary yet", 200, "*", "detail=header-unlisted")
			b.do("GET", "/a", "X-Lang", "de")
			b.pass(20 * time.Second)
			b.do("GET", "/a", "X-Lang", "de").want(t, "stale, served at once", 200, "*", "hit; ttl=-10")
			synctest.Wait()
			before := asked.Load()
			b.do("GET", "/a", "X-Lang", "de").want(t, "renewed", 200, fmt.Sprint(before), "hit; ttl=10")
			b.pass(71 * time.Second)
			b.do("GET", "/a", "X-Lang", "de").want(t, "beyond the window", 200, fmt.Sprint(before+1), "fwd=stale")
		})
}

// A reader that saw the old copy just before its successor came must not have the successor fetched again.
func TestReplacedCopyIsNotRenewed(t *testing.T) {
	var asked atomic.Int64
	inBubble(t, counted(&asked, nil), rigOptions{}, refreshing(t), func(b *bubble) {
		b.do("GET", "/a")
		rq := b.planned("GET", "/a")
		seen := b.proxy.find(rq, rq.start)
		if seen.Copy == nil {
			t.Fatal("no copy")
		}
		b.pass(101 * time.Second)
		b.do("GET", "/a").want(t, "fetched anew", 200, "2", "fwd=stale")
		b.proxy.fills.Renew(rq.start, seen.Copy, func() fill.Renewal { return rq.renewal(seen, upstream.Refresh, nil) })
		synctest.Wait()
		b.do("GET", "/a").want(t, "not again", 200, "2", "hit")
	})
}

// Requests that a server did not wait for may still come while the proxy ends, and after it.
func TestRequestsDuringAndAfterClose(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, counted(&asked, nil), rigOptions{}, routeFor(t, "all", nil, "/"))
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			for j := range 50 {
				func() {
					defer func() {
						if v := recover(); v != nil && v != http.ErrAbortHandler {
							panic(v)
						}
					}()
					r.proxy.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", fmt.Sprintf("/%d/%d", i, j), nil))
				}()
			}
		})
	}
	waitFor(t, func() bool { return asked.Load() > 20 })
	r.proxy.Close()
	readers.Wait()
	r.do("GET", "/late").want(t, "after the end", 502, "*", "detail=origin-error")
}
