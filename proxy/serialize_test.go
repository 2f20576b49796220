package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// crowded is an origin that works a second on each write, and notes what came, and how many of one path were there at once.
type crowded struct {
	mu    sync.Mutex
	came  []string
	there map[string]int
	most  map[string]int
}

func newCrowded() *crowded { return &crowded{there: map[string]int{}, most: map[string]int{}} }

func (c *crowded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what came of it is what is noted
	c.mu.Lock()
	c.came = append(c.came, string(body))
	c.there[r.URL.Path]++
	c.most[r.URL.Path] = max(c.most[r.URL.Path], c.there[r.URL.Path])
	c.mu.Unlock()
	<-time.After(time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there[r.URL.Path]--
}

// serially is a route whose writes go one after the other.
func serially(t *testing.T, kind policy.Kind, change func(*policy.Route)) *policy.Route {
	return routeFor(t, "all", func(r *policy.Route) {
		r.Policy, r.SerializesWrites = kind, true
		if change != nil {
			change(r)
		}
	}, "/")
}

// inOrder makes n writes of a path, each after the one before has come to where it waits, and gives their answers when all have one.
func inOrder(b *bubble, n int, path string) (answers []answer) {
	answers = make([]answer, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { answers[i] = b.serve(b.t.Context(), "PUT", path, strings.NewReader(fmt.Sprint(i))) })
		synctest.Wait()
	}
	all.Wait()
	return answers
}

// Writes of one key are at the origin one at a time, in the order in which they came; those of others do not wait for them.
func TestSerializedWritesGoInOrder(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Bypass, policy.CacheAside, policy.WriteThrough} {
		t.Run(kind.String(), func(t *testing.T) {
			origin := newCrowded()
			inBubble(t, origin.ServeHTTP, rigOptions{origin: upstream.Options{Timeout: time.Minute}}, serially(t, kind, nil), func(b *bubble) {
				start := time.Now()
				var other sync.WaitGroup
				other.Go(func() {
					b.do("PUT", "/other").want(t, "other", 200, "", "")
					if took := time.Since(start); took != time.Second {
						t.Errorf("a write of another key took %v", took)
					}
				})
				for i, a := range inOrder(b, 5, "/a") {
					a.want(t, fmt.Sprint(i), 200, "", "")
				}
				other.Wait()
				if took := time.Since(start); took != 5*time.Second || origin.most["/a"] != 1 {
					t.Errorf("five writes of a second took %v, %d at once", took, origin.most["/a"])
				}
				came := slices.DeleteFunc(slices.Clone(origin.came), func(s string) bool { return s == "" })
				if !slices.Equal(came, []string{"0", "1", "2", "3", "4"}) {
					t.Errorf("they came as %v", came)
				}
				wantNoTurns(t, b)
			})
		})
	}
}

func wantNoTurns(t *testing.T, b *bubble) {
	t.Helper()
	if left := len(b.proxy.turns.waiting); left != 0 {
		t.Errorf("%d keys have a turn that nobody has", left)
	}
	if waiting := count(t, b.metrics, "cacheproxy_serialized_writes_waiting", ""); waiting != 0 {
		t.Errorf("%d writes wait after all are answered", waiting)
	}
}

// A write key says what is one, whatever the path; routes that do not ask for it, or are observed or off, wait for nobody. What is outside of a
// mode's share waits like what is inside.
func TestWhatIsSerialized(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*policy.Route)
		paths  [2]string
		took   time.Duration
	}{
		"two paths":               {nil, [2]string{"/a", "/b"}, time.Second},
		"one path, spelt apart":   {nil, [2]string{"/a%62", "/%61b"}, 2 * time.Second},
		"two paths, one key":      {func(r *policy.Route) { r.WriteKey = template(t, "all") }, [2]string{"/a", "/b"}, 2 * time.Second},
		"not asked for":           {func(r *policy.Route) { r.SerializesWrites = false }, [2]string{"/a", "/a"}, time.Second},
		"observed":                {func(r *policy.Route) { r.Mode = policy.Observe }, [2]string{"/a", "/a"}, time.Second},
		"off":                     {func(r *policy.Route) { r.Mode = policy.Off }, [2]string{"/a", "/a"}, time.Second},
		"outside of mode's share": {func(r *policy.Route) { r.ModeShare = 1e-12 }, [2]string{"/a", "/a"}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, newCrowded().ServeHTTP, rigOptions{origin: upstream.Options{Timeout: time.Minute}}, serially(t, policy.CacheAside, c.change), func(b *bubble) {
				start := time.Now()
				var both sync.WaitGroup
				for _, path := range c.paths {
					both.Go(func() { b.do("POST", path).want(t, path, 200, "", "") })
				}
				both.Wait()
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				wantNoTurns(t, b)
			})
		})
	}
}

// Who waits for longer than the upstream may take for one write is told to come again, and the origin sees nothing of it.
func TestSerializedWriteWaitsForTheTimeoutAtMost(t *testing.T) {
	origin := newCrowded()
	inBubble(t, origin.ServeHTTP, rigOptions{origin: upstream.Options{Timeout: 2500 * time.Millisecond}}, serially(t, policy.WriteThrough, nil), func(b *bubble) {
		for i, a := range inOrder(b, 5, "/a") {
			if i < 3 {
				a.want(t, fmt.Sprint(i), 200, "", "")
				continue
			}
			a.want(t, fmt.Sprint(i), 503, "*", "detail=serial-timeout")
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
		if len(origin.came) != 3 || count(t, b.metrics, "cacheproxy_serialized_writes_refused_total", "all") != 2 {
			t.Errorf("the origin saw %v", origin.came)
		}
		wantNoTurns(t, b)
	})
}

// As many wait as may, and no more; who leaves makes room, and costs the others nothing.
func TestSerializedWritesAreBounded(t *testing.T) {
	origin := newCrowded()
	inBubble(t, origin.ServeHTTP, rigOptions{origin: upstream.Options{Timeout: 10 * time.Minute}}, serially(t, policy.WriteThrough, nil), func(b *bubble) {
		patient, leave := context.WithCancel(b.t.Context())
		var all sync.WaitGroup
		var done, gone atomic.Int64
		for i := range 1 + maxTurns {
			ctx := b.t.Context()
			if i == 1 || i == 2 {
				ctx = patient
			}
			all.Go(func() {
				if a := b.serve(ctx, "PUT", "/a", strings.NewReader(fmt.Sprint(i))); a.status == 200 {
					done.Add(1)
				} else if a.body == "aborted" {
					gone.Add(1)
				}
			})
			synctest.Wait()
		}
		b.do("PUT", "/a").want(t, "one more", 503, "*", "detail=serial-full")
		leave()
		synctest.Wait()
		start := time.Now()
		all.Go(func() { b.do("PUT", "/a").want(t, "in the place of who left", 200, "", "") })
		all.Wait()
		if done.Load() != maxTurns-1 || gone.Load() != 2 || time.Since(start) != maxTurns*time.Second {
			t.Errorf("%d done, %d gone, after %v", done.Load(), gone.Load(), time.Since(start))
		}
		if len(origin.came) != maxTurns || slices.Contains(origin.came, "1") || slices.Contains(origin.came, "2") || origin.most["/a"] != 1 {
			t.Errorf("the origin saw %d, %v, %d at once", len(origin.came), origin.came, origin.most["/a"])
		}
		wantNoTurns(t, b)
	})
}

// A write that waits holds no fence: copies are used until its turn has come.
func TestWaitingWriteHoldsNoFence(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			<-time.After(time.Second)
		}
		w.Header().Set("Cache-Control", "max-age=60")
	}
	route := serially(t, policy.WriteThrough, func(r *policy.Route) { r.WriteKey = template(t, "one") })
	inBubble(t, backend, rigOptions{origin: upstream.Options{Timeout: time.Minute}}, route, func(b *bubble) {
		b.do("GET", "/b").want(t, "read", 200, "", "stored")
		var writes sync.WaitGroup
		for _, path := range []string{"/a", "/b"} {
			writes.Go(func() { b.do("PUT", path).want(t, path, 200, "", "") })
			synctest.Wait()
		}
		b.do("GET", "/b").want(t, "while its write waits", 200, "", "hit")
		b.pass(1500 * time.Millisecond)
		b.do("GET", "/b").want(t, "while its write is made", 200, "", "fwd=miss")
		writes.Wait()
		wantNoTurns(t, b)
	})
}

// sharedLocks are those of instances in one process. Once down they fail.
type sharedLocks struct {
	turns turns
	down  atomic.Bool
	held  atomic.Int64
}

func (l *sharedLocks) Lock(ctx context.Context, key string) (func(), error) {
	if l.down.Load() {
		return nil, errors.New("down")
	}
	end, err := l.turns.take(ctx, key, false)
	if err != nil {
		return nil, err
	}
	l.held.Add(1)
	return func() { l.held.Add(-1); end() }, nil
}

// Instances wait for each other; where nobody knows of the others, a write is refused, or goes on with what this process knows.
func TestSerializedWritesOfInstances(t *testing.T) {
	for _, refuses := range []bool{true, false} {
		t.Run(fmt.Sprint("refuses ", refuses), func(t *testing.T) {
			origin, locks := newCrowded(), new(sharedLocks)
			route := serially(t, policy.CacheAside, nil)
			route.RefusesWrites = refuses
			inBubble(t, origin.ServeHTTP, rigOptions{origin: upstream.Options{Timeout: time.Minute}}, route, func(b *bubble) {
				c := b.another()
				b.proxy.turns.locks, c.proxy.turns.locks = locks, locks
				var all sync.WaitGroup
				for i := range 6 {
					all.Go(func() { []*bubble{b, c}[i%2].do("PUT", "/a").want(t, "write", 200, "", "") })
				}
				all.Wait()
				if origin.most["/a"] != 1 || locks.held.Load() != 0 {
					t.Errorf("%d at once, %d locks left", origin.most["/a"], locks.held.Load())
				}
				locks.down.Store(true)
				if refuses {
					b.do("PUT", "/a").want(t, "without locks", 503, "*", "detail=store-down")
				} else {
					inOrder(b, 3, "/a")[2].want(t, "without locks", 200, "", "")
				}
				if want := map[bool]int{true: 6, false: 9}[refuses]; len(origin.came) != want || origin.most["/a"] != 1 {
					t.Errorf("the origin saw %d, %d at once", len(origin.came), origin.most["/a"])
				}
				wantNoTurns(t, b)
				wantNoTurns(t, c)
			})
		})
	}
}
