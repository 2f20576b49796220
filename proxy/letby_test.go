package proxy

import (
	"fmt"
	"io"
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

// ways are the routes by which a request for /a can go.
func ways() map[string]func(*policy.Route) {
	return map[string]func(*policy.Route){
		"observed":              func(r *policy.Route) { r.Mode = policy.Observe },
		"off":                   func(r *policy.Route) { r.Mode = policy.Off },
		"outside of its share":  func(r *policy.Route) { r.Mode, r.ModeShare = policy.Observe, 1e-9 },
		"observed read-through": func(r *policy.Route) { r.Mode, r.Policy = policy.Observe, policy.ReadThrough },
		"observed bypass":       func(r *policy.Route) { r.Mode, r.Policy = policy.Observe, policy.Bypass },
		"without a route":       func(r *policy.Route) { r.Patterns = routePatterns("GET /else") },
		"on":                    func(*policy.Route) {},
		"bypass":                func(r *policy.Route) { r.Policy = policy.Bypass },
	}
}

func routePatterns(text string) []policy.Pattern {
	p, err := policy.ParsePattern(text)
	if err != nil {
		panic(err)
	}
	return []policy.Pattern{p}
}

// An origin hangs, and 500 clients ask. What the proxy only lets by reaches it in full, whatever limit is named; what it holds has places
// and a queue, and where nobody has named a limit nothing is held.
func TestOriginThatHangs(t *testing.T) {
	const clients, places, queue = 500, 64, 256
	for name, way := range ways() {
		for _, c := range []struct {
			what    string
			origin  upstream.Options
			holds   bool // of what is let by
			holdsOn bool // of what is not
		}{
			{"no limit", upstream.Options{}, false, false},
			{"a limit", upstream.Options{MaxInFlight: places, MaxQueue: queue}, false, true},
			{"a limit for all", upstream.Options{MaxInFlight: places, MaxQueue: queue, LimitPassing: true}, true, true},
		} {
			t.Run(name+", "+c.what, func(t *testing.T) {
				var asked atomic.Int64
				hang := make(chan struct{})
				origin := func(_ int64, _ http.ResponseWriter, _ *http.Request) bool {
					<-hang
					return true
				}
				c.origin.Timeout, c.origin.QueueTimeout = time.Hour, time.Second
				inBubble(t, counted(&asked, origin), rigOptions{origin: c.origin}, routeFor(t, "all", way, "/"), func(b *bubble) {
					hang = make(chan struct{})
					var all sync.WaitGroup
					var answers [600]atomic.Int64
					for i := range clients {
						all.Go(func() { answers[b.do("GET", fmt.Sprintf("/a?%d", i)).status].Add(1) })
					}
					synctest.Wait()
					b.pass(2 * time.Second)
					want := int64(clients)
					if held := c.holds || c.holdsOn && (name == "on" || name == "bypass"); held {
						want = places
					}
					if n := asked.Load(); n != want {
						t.Errorf("%d reached the origin, want %d", n, want)
					}
					if shed := answers[503].Load(); shed != clients-want {
						t.Errorf("%d were answered with 503, want %d", shed, clients-want)
					}
					// What would have been refused is known: the places and nobody else.
					if would := int64(b.proxy.config().unmatched.Origin.WouldShed()); c.what == "a limit" && want == clients && would != clients-places || would != 0 && c.what != "a limit" {
						t.Errorf("%d would have been refused", would)
					}
					// One after the other: the race detector's own state of a bubble's timers does not bear that many at once.
					for range want {
						hang <- struct{}{}
						synctest.Wait()
					}
					close(hang)
					all.Wait()
					if ok := answers[200].Load(); ok != want {
						t.Errorf("%d were answered with 200, want %d", ok, want)
					}
				})
			})
		}
	}
}

// Neither the header of an answer nor the next part of its body has to come in time where the request is only let by, and where the
// limit wants to hold that too, it has.
func TestNoTimeoutEndsWhatIsLetBy(t *testing.T) {
	const timeout = 5 * time.Second
	for name, way := range ways() {
		for _, holds := range []bool{false, true} {
			for what, slow := range map[string]func(w http.ResponseWriter){
				"header": func(http.ResponseWriter) { <-time.After(timeout + time.Second) },
				"body": func(w http.ResponseWriter) {
					io.WriteString(w, "part ")
					w.(http.Flusher).Flush()
					<-time.After(timeout + time.Second)
				},
			} {
				var asked atomic.Int64
				o := rigOptions{origin: upstream.Options{MaxInFlight: 8, Timeout: timeout, ReadTimeout: timeout, LimitPassing: holds}}
				backend := func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
					slow(w)
					return true
				}
				inBubble(t, counted(&asked, backend), o, routeFor(t, "all", way, "/"), func(b *bubble) {
					a := b.do("GET", "/a")
					whole := a.status == 200 && strings.HasSuffix(a.body, "1")
					if want := name != "on" && name != "bypass" && !holds; whole != want {
						t.Errorf("%s, slow %s, the limit holds all %v: %d %q", name, what, holds, a.status, a.body)
					}
				})
			}
		}
	}
}

// What is let by goes on as it comes: the origin has the head at once, and each part of the body when its client sends it.
func TestBodiesAreLetByAsTheyCome(t *testing.T) {
	for name, way := range ways() {
		for _, holds := range []bool{false, true} {
			var asked atomic.Int64
			var began time.Time
			var waited time.Duration
			backend := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
				waited = time.Since(began)
				io.Copy(io.Discard, r.Body)
				return true
			}
			o := rigOptions{origin: upstream.Options{MaxInFlight: 8, Timeout: time.Hour, LimitPassing: holds}}
			inBubble(t, counted(&asked, backend), o, routeFor(t, "all", way, "/"), func(b *bubble) {
				began = time.Now()
				r, w := io.Pipe()
				go func() {
					<-time.After(time.Minute)
					io.WriteString(w, "body")
					w.Close()
				}()
				b.serve(b.t.Context(), "POST", "/a", r).want(t, name, 200, "1", "")
				if want := name != "on" && name != "bypass" && !holds; want != (waited == 0) {
					t.Errorf("%s, the limit holds all %v: the origin was asked after %v", name, holds, waited)
				}
			})
		}
	}
}

// No store keeps from the origin what is only let by: writes go through, and what they invalidate is left to the log.
func TestStoreRefusesNothingThatIsLetBy(t *testing.T) {
	for _, mode := range []policy.Mode{policy.Observe, policy.Off, policy.On} {
		for _, kind := range []policy.Kind{policy.WriteThrough, policy.ReadThrough} {
			for _, fences := range []bool{true, false} {
				for _, holds := range []bool{false, true} {
					t.Run(fmt.Sprint(mode, kind, fences, holds), func(t *testing.T) {
						var asked atomic.Int64
						var log *brokenLog
						below := &cupboard{}
						o := withBrokenLog(&log)
						o.below, o.lease, o.confirm, o.silence = []store.Tier{below}, held, time.Minute, 4*time.Second
						o.origin.MaxInFlight, o.origin.LimitPassing = 8, holds
						route := routeFor(t, "all", func(r *policy.Route) { r.Policy, r.Mode = kind, mode }, "/")
						route.FencesWrites = route.FencesWrites && fences
						inBubble(t, counted(&asked, nil), o, route, func(b *bubble) {
							log.broken.Store(true)
							below.fail()
							below.down.Store(true)
							b.pass(2 * held)
							read, write := b.do("GET", "/a"), b.do("PUT", "/a")
							refused := mode == policy.On
							if got, want := read.status == 503, refused && kind == policy.ReadThrough; got != want {
								t.Errorf("a read: %d %s", read.status, read.header.Get("Cache-Status"))
							}
							if got, want := write.status == 503, refused && kind == policy.WriteThrough; got != want {
								t.Errorf("a write: %d %s", write.status, write.header.Get("Cache-Status"))
							}
							if write.status == 200 && len(log.queued) != 1 {
								t.Errorf("%d invalidations are queued", len(log.queued))
							}
						})
					})
				}
			}
		}
	}
}

// A read that goes past the cache for what its client sent and the route does not list has the smallest share: a quarter of the places is never theirs,
// while what only the origin can answer may have it.
func TestUnlistedPassesHaveTheSmallestShare(t *testing.T) {
	for _, c := range []struct {
		name, method, target string
		header               []string
		unlisted             bool
	}{
		{"a header", "GET", "/a", []string{"X-Unknown", "1"}, true},
		{"a parameter", "GET", "/a?x=1", nil, true},
		{"no-store", "GET", "/a", []string{"Cache-Control", "no-store"}, true},
		{"a write", "POST", "/a", nil, false},
		{"credentials", "GET", "/a", []string{"Authorization", "Basic eDp5"}, false},
		{"a read", "GET", "/a", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			hang := make(chan struct{})
			backend := func(http.ResponseWriter, *http.Request) { <-hang }
			o := rigOptions{origin: upstream.Options{MaxInFlight: 4, MaxQueue: 100, QueueTimeout: time.Hour, Timeout: 2 * time.Hour}}
			set := func(r *policy.Route) { r.Query.Unlisted, r.Client = policy.UnlistedBypass, policy.HonorClient }
			inBubble(t, backend, o, routeFor(t, "all", set, "/"), func(b *bubble) {
				hang = make(chan struct{})
				var all sync.WaitGroup
				for range 3 {
					all.Go(func() { b.do("GET", "/else", "X-Unknown", "1") })
				}
				synctest.Wait()
				all.Go(func() { b.do(c.method, c.target, c.header...) })
				synctest.Wait()
				want := 4
				if c.unlisted {
					want = 3 // the last fourth is for others
				}
				if n := b.proxy.config().unmatched.Origin.InFlight(); n != want {
					t.Errorf("%d at the origin, want %d", n, want)
				}
				close(hang)
				all.Wait()
			})
		})
	}
}
