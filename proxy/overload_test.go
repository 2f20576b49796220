package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// Ten times what the origin can do, all of it misses: the origin sees its limit and not one more, works at its capacity
// all the time, who is refused is refused within queue_timeout and told when to come back, and when it is over it is over.
func TestOverload(t *testing.T) {
	const (
		places   = 4
		work     = 20 * time.Millisecond // so 200 a second
		patience = 200 * time.Millisecond
		every    = 500 * time.Microsecond // 2000 a second
		duration = 2 * time.Second
	)
	var now, most, served, refused atomic.Int64
	backend := func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-time.After(work)
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "x")
	}
	o := rigOptions{origin: upstream.Options{MaxInFlight: places, MaxQueue: 100, QueueTimeout: patience}}
	inBubble(t, backend, o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		var mu sync.Mutex
		var told []string
		var requests sync.WaitGroup
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := range int(duration / every) {
			<-tick.C
			requests.Go(func() {
				start := time.Now()
				a := b.do("GET", fmt.Sprintf("/%d", i))
				if a.status == http.StatusOK {
					served.Add(1)
					return
				}
				refused.Add(1)
				if took := time.Since(start); a.status != http.StatusServiceUnavailable || took > patience {
					t.Errorf("%d after %v", a.status, took)
				}
				mu.Lock()
				told = append(told, a.header.Get("Retry-After"))
				mu.Unlock()
			})
		}
		requests.Wait()
		if most.Load() != places {
			t.Errorf("%d requests at the origin at once, and its limit is %d", most.Load(), places)
		}
		if want := int64(places * (duration / work)); served.Load() < want {
			t.Errorf("%d served, and the origin can do %d in that time", served.Load(), want)
		}
		if n := int64(count(t, b.metrics, "cacheproxy_shed_total", "shop")); n != refused.Load() || n == 0 {
			t.Errorf("%d refused, %d counted", refused.Load(), n)
		}
		slices.Sort(told)
		told = slices.Compact(told)
		if !slices.Equal(told, []string{"1", "2", "3"}) {
			t.Errorf("Retry-After: %v, want whole seconds up to three, varied", told)
		}
		start := time.Now()
		b.do("GET", "/after").want(t, "right after", 200, "x", "stored")
		if took := time.Since(start); took != work {
			t.Errorf("a request right after took %v, and the origin takes %v", took, work)
		}
	})
}

// Writes, what is passed through and reads are refused the same way.
func TestPassedRequestsAreRefusedAlike(t *testing.T) {
	var asked atomic.Int64
	hold := func(_ int64, _ http.ResponseWriter, _ *http.Request) bool {
		<-time.After(10 * time.Second)
		return true
	}
	o := rigOptions{origin: upstream.Options{MaxInFlight: 1, MaxQueue: 1, QueueTimeout: 1500 * time.Millisecond, Timeout: time.Minute}}
	inBubble(t, counted(&asked, hold), o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		var others sync.WaitGroup
		others.Go(func() { b.do("GET", "/held") })
		synctest.Wait()
		others.Go(func() {
			<-time.After(time.Second)
			b.do("GET", "/waits").want(t, "a read in a full queue", 503, "*", "detail=queue-full")
		})
		start := time.Now()
		a := b.do("POST", "/write")
		a.want(t, "a write waits in vain", 503, "*", "detail=queue-timeout")
		seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
		if time.Since(start) != 1500*time.Millisecond || err != nil || seconds < 1 || seconds > 5 {
			t.Errorf("after %v, Retry-After %q", time.Since(start), a.header.Get("Retry-After"))
		}
		others.Wait()
		if n := count(t, b.metrics, "cacheproxy_shed_total", "shop"); n != 2 {
			t.Errorf("%d counted, want both", n)
		}
	})
}

// A place that is waited for is given to routes in turn: the proxy tells the limiter whose it is, for what it fetches and
// for what it passes through.
func TestRoutesOfTheProxyTakeTurns(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Bypass, policy.CacheAside} {
		var mu sync.Mutex
		var order []string
		backend := func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			order = append(order, r.URL.Path)
			mu.Unlock()
			<-time.After(time.Second)
		}
		quiet := routeFor(t, "quiet", func(r *policy.Route) { r.Policy = kind }, "/quiet/")
		flood := routeFor(t, "flood", func(r *policy.Route) { r.Policy = kind }, "/flood/")
		o := rigOptions{
			origin: upstream.Options{MaxInFlight: 1, QueueTimeout: time.Minute, Timeout: time.Minute}, routes: []*policy.Route{quiet},
		}
		inBubble(t, backend, o, flood, func(b *bubble) {
			var requests sync.WaitGroup
			for _, path := range []string{"/flood/0", "/flood/1", "/flood/2", "/flood/3", "/quiet/0"} {
				requests.Go(func() { b.do("GET", path) })
				synctest.Wait()
			}
			requests.Wait()
			if want := []string{"/flood/0", "/flood/1", "/quiet/0", "/flood/2", "/flood/3"}; !slices.Equal(order, want) {
				t.Errorf("%v: order %v, want %v", kind, order, want)
			}
		})
	}
}
