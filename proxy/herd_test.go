package proxy

import (
	"fmt"
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

// gauge counts what runs at the same time.
type gauge struct{ now, most, all atomic.Int64 }

func (g *gauge) enter() {
	g.all.Add(1)
	n := g.now.Add(1)
	for most := g.most.Load(); n > most && !g.most.CompareAndSwap(most, n); most = g.most.Load() {
	}
}

func (g *gauge) leave() { g.now.Add(-1) }

// A purge of everything sends every key to the origin at once. The origin gets no more than it can work on, one request
// for each key; the others wait in the queue. Only what finds no place there is refused. After a soft purge nobody waits.
func TestPurgeRefillIsPaced(t *testing.T) {
	const keys, clients, limit, work = 64, 4, 4, 100 * time.Millisecond
	for _, c := range []struct {
		name    string
		soft    bool
		swr     time.Duration
		queue   int
		wait    time.Duration
		outcome string // in Cache-Status, of the requests right after the purge, but for those that are shed
		shed    bool
		longest time.Duration // a client waits
		asked   int64
	}{
		{"hard, and the queue holds them all", false, 0, keys, time.Minute, "miss", false, keys / limit * work, keys},
		{"hard, and the queue is too small", false, 0, 8, time.Minute, "miss", true, (limit + 8) / limit * work, limit + 8},
		{"hard, and the queue is too slow", false, 0, keys, 5 * work / 2, "miss", true, 3 * work, 3 * limit},
		{"soft, within stale_while_revalidate", true, time.Hour, keys, time.Minute, "hit; ttl", false, 0, keys},
		{"soft, without: revalidated in turn", true, 0, keys, time.Minute, "fwd=stale", false, keys / limit * work, keys},
	} {
		t.Run(c.name, func(t *testing.T) {
			var load gauge
			var slow atomic.Bool
			backend := func(w http.ResponseWriter, r *http.Request) {
				load.enter()
				defer load.leave()
				if slow.Load() {
					<-time.After(work)
				}
				fmt.Fprint(w, r.URL.Path)
			}
			o := rigOptions{origin: upstream.Options{Timeout: time.Minute, MaxInFlight: limit, MaxQueue: c.queue, QueueTimeout: c.wait}}
			route := routeFor(t, "all", func(r *policy.Route) { r.StaleWhileRevalidate, r.TTL, r.WaitTimeout = c.swr, time.Hour, time.Hour }, "/")
			inBubble(t, backend, o, route, func(b *bubble) {
				for k := range keys {
					b.do("GET", fmt.Sprint("/", k)).want(t, "fill", 200, fmt.Sprint("/", k), "stored")
				}
				load.all.Store(0)
				slow.Store(true)
				if _, err := b.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{policy.All}, Soft: c.soft}); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				var longest, shed atomic.Int64
				var herd sync.WaitGroup
				for i := range keys * clients {
					herd.Go(func() {
						path := fmt.Sprint("/", i%keys)
						a := b.do("GET", path)
						if took := int64(time.Since(start)); took > longest.Load() {
							longest.Store(took) // requests end one after another on the clock of the bubble
						}
						if c.shed && a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "" {
							shed.Add(1)
							return
						}
						if cache := a.header.Get("Cache-Status"); a.status != 200 || a.body != path || !strings.Contains(cache, c.outcome) && !strings.Contains(cache, "collapsed") {
							t.Errorf("%s: %d %q, %s", path, a.status, a.body, cache)
						}
					})
				}
				herd.Wait()
				if got := time.Duration(longest.Load()); got > c.longest {
					t.Errorf("a client waited %v, want at most %v", got, c.longest)
				}
				if (shed.Load() > 0) != c.shed {
					t.Errorf("%d requests were shed", shed.Load())
				}
				b.pass(time.Minute) // for what goes on in the background
				synctest.Wait()
				if most := load.most.Load(); most > limit {
					t.Errorf("the origin worked on %d requests at a time, want at most %d", most, limit)
				}
				if got := load.all.Load(); got != c.asked {
					t.Errorf("the origin was asked %d times, want %d", got, c.asked)
				}
			})
		})
	}
}
