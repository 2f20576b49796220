package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// logged is a log that a test reads.
type logged struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Message)
	return nil
}

func (l *logged) about(message string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line == message {
			n++
		}
	}
	return n
}

// failingTier fails in one way.
type failingTier struct{ err error }

func (f failingTier) Get(context.Context, string) (store.Item, error) { return nil, f.err }
func (f failingTier) Put(context.Context, string, store.Item) error   { return f.err }
func (f failingTier) Down() bool                                      { return false }

// A tier that fails is told of now and then, one that is down not at all: the requests that miss it can be thousands a second.
func TestFailingTiersDoNotFloodTheLog(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"down":  {fmt.Errorf("read: %w", store.ErrDown), 0},
		"fails": {errors.New("timeout"), loud},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			l := &logged{Handler: slog.DiscardHandler}
			inBubble(t, counted(&asked, nil), rigOptions{below: []store.Tier{failingTier{c.err}}, logger: slog.New(l)}, routeFor(t, "all", nil, "/"), func(b *bubble) {
				for i := range 100 {
					b.do("GET", fmt.Sprint("/", i)).want(t, "a miss", 200, "*", "stored")
				}
				synctest.Wait()
				if n := l.about("copy not recalled") + l.about("copy not kept below memory"); n != c.want {
					t.Errorf("%d lines for 100 misses, want %d", n, c.want)
				}
			})
		})
	}
}

const (
	loud       = 5           // lines of one kind that the log has in a minute
	maxWriting = 128         // copies on their way to the tiers below memory
	watchEvery = time.Second // between two looks at whether a tier has come back
)

// What a slow tier cannot take is left out, and does not pile up.
func TestSlowTierTakesWhatItCan(t *testing.T) {
	var asked atomic.Int64
	below := &slowTier{}
	inBubble(t, counted(&asked, nil), rigOptions{below: []store.Tier{below}}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		below.gate = make(chan struct{})
		for i := range 3 * maxWriting {
			b.do("GET", fmt.Sprint("/", i)).want(t, "a miss", 200, "*", "stored")
		}
		synctest.Wait()
		if n := below.inside.Load(); n != maxWriting {
			t.Errorf("%d copies are on their way to the tier, want %d", n, maxWriting)
		}
		close(below.gate)
		synctest.Wait()
		b.do("GET", "/more")
		synctest.Wait()
		if n := below.inside.Load(); n != maxWriting+1 {
			t.Errorf("%d copies have come to the tier, want one more than before", n)
		}
	})
}

// slowTier holds what is put into it up until its gate is open.
type slowTier struct {
	gate   chan struct{}
	inside atomic.Int64
}

func (s *slowTier) Get(context.Context, string) (store.Item, error) { return nil, nil }
func (s *slowTier) Down() bool                                      { return false }
func (s *slowTier) Put(context.Context, string, store.Item) error {
	s.inside.Add(1)
	<-s.gate
	return nil
}

// A tier that comes back empty is filled again from what memory has and is read, and the origin is not asked for it.
func TestTierThatComesBackIsWarmedFromMemory(t *testing.T) {
	var asked atomic.Int64
	below := &copies{}
	vary := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/vary") {
			w.Header().Set("Vary", "Accept-Language")
		}
		return true
	}
	inBubble(t, counted(&asked, vary), rigOptions{below: []store.Tier{below}}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		read := func(asks int) {
			t.Helper()
			b.do("GET", "/a")
			b.do("GET", "/vary", "Accept-Language", "de")
			synctest.Wait()
			if n := int(asked.Load()); n != asks {
				t.Fatalf("the origin was asked %d times, want %d", n, asks)
			}
		}
		b.do("GET", "/unread") // before it is known that the route varies
		read(3)
		read(3)
		if got, want := below.writes(), 4; got != want {
			t.Fatalf("%d items were written to the tier, want %d: the copies, and which variants there are", got, want)
		}
		below.down.Store(true)
		b.pass(2 * watchEvery)
		below.Empty()
		read(3)
		if n := below.writes(); n != 4 {
			t.Errorf("the tier was written to while it was down: %d", n)
		}
		below.down.Store(false)
		b.pass(2 * watchEvery)
		read(3)
		read(3)
		if n := below.writes(); n != 7 {
			t.Errorf("%d items were written to the tier, want those that were read once more, 7", n)
		}
		cold := b.another()
		cold.do("GET", "/a").want(t, "another instance", 200, "2", "hit")
		cold.do("GET", "/vary", "Accept-Language", "de").want(t, "another instance", 200, "3", "hit")
	})
}

// What another instance has found of the variants of a URL is found here too, also by one that knows others.
func TestVariantsOfAnotherInstance(t *testing.T) {
	var asked atomic.Int64
	vary := func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Vary", "X-Lang")
		if r.Header.Get("X-Lang") == "fr" {
			w.Header().Set("Vary", "X-Lang, X-Size")
		}
		fmt.Fprint(w, r.Header.Get("X-Lang"), r.Header.Get("X-Size"))
		return false
	}
	fleet(t, counted(&asked, vary), 2, rigOptions{}, routeFor(t, "all", nil, "/"), func(all []*bubble, _ *desk, _ *copies) {
		a, b := all[0], all[1]
		for _, one := range all { // until Vary is known to name them, requests with these fields pass
			one.do("GET", "/b", "X-Lang", "fr", "X-Size", "1").want(t, "unknown", 200, "fr1", "detail=header-unlisted")
		}
		a.do("GET", "/a", "X-Lang", "de")
		synctest.Wait()
		b.do("GET", "/a", "X-Lang", "fr", "X-Size", "9").want(t, "the other's own", 200, "fr9", "stored")
		b.do("GET", "/a", "X-Lang", "fr", "X-Size", "9")
		synctest.Wait()
		before := asked.Load()
		a.do("GET", "/a", "X-Lang", "fr", "X-Size", "9").want(t, "here", 200, "fr9", "hit")
		b.do("GET", "/a", "X-Lang", "de").want(t, "there", 200, "de", "hit")
		if n := asked.Load(); n != before {
			t.Errorf("the origin was asked %d times more", n-before)
		}
	})
}

// Those who wait for another instance's fetch wait until the copy is in the tier.
func TestClaimsLastUntilTheCopyLanded(t *testing.T) {
	var asked atomic.Int64
	fleet(t, counted(&asked, nil), 2, rigOptions{}, routeFor(t, "all", nil, "/"), func(all []*bubble, d *desk, c *copies) {
		c.takes = time.Second
		all[0].do("GET", "/a").want(t, "the first", 200, "1", "stored")
		start := time.Now()
		all[1].do("GET", "/a").want(t, "the other", 200, "1", "hit")
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want as long as the copy takes to the tier, 1s", took)
		}
		d.want(t, "the first", store.Shared)
	})
}

// A copy that the tier did not take is not waited for.
func TestClaimOnACopyThatDoesNotLand(t *testing.T) {
	var asked atomic.Int64
	fleet(t, counted(&asked, slowly(time.Second, nil)), 2, rigOptions{}, routeFor(t, "all", nil, "/"), func(all []*bubble, d *desk, c *copies) {
		go all[0].do("GET", "/a")
		synctest.Wait()
		c.fail()
		all[1].do("GET", "/a").want(t, "the other", 200, "2", "stored")
		synctest.Wait()
		d.want(t, "the first", store.Unshared)
	})
}

// Read-through waits for another instance as others do, and leaves the origin alone when the store goes down meanwhile.
func TestReadThroughThatWaitsWhenTheStoreGoesDown(t *testing.T) {
	var asked atomic.Int64
	o := rigOptions{claims: claimsFunc(func(context.Context, string) (store.Claim, error) { return stuck{waits: true}, nil })}
	route := routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.ReadThrough }, "/")
	fleet(t, counted(&asked, nil), 1, o, route, func(all []*bubble, _ *desk, c *copies) {
		done := make(chan answer, 1)
		go func() { done <- all[0].do("GET", "/a") }()
		synctest.Wait()
		c.down.Store(true)
		a := <-done
		a.want(t, "refused", 503, "*", "detail=store-down")
		if a.header.Get("Retry-After") == "" || asked.Load() != 0 {
			t.Errorf("Retry-After %q, %d requests at the origin", a.header.Get("Retry-After"), asked.Load())
		}
	})
}

// What a write leaves behind is there for every instance.
func TestKeptWriteIsSunk(t *testing.T) {
	var asked atomic.Int64
	fleet(t, counted(&asked, located("/a")), 2, rigOptions{}, storing(t), func(all []*bubble, _ *desk, _ *copies) {
		all[0].do("PUT", "/a").want(t, "write", 200, "1", "")
		synctest.Wait()
		all[1].do("GET", "/a").want(t, "another instance", 200, "1", "hit")
	})
}

// A copy that a HEAD has confirmed takes the place of the one before in the tiers, too: another instance need not ask again.
func TestConfirmedByHeadBelowMemory(t *testing.T) {
	var asked atomic.Int64
	below := &copies{}
	tagged := func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Cache-Control", "max-age=10")
		return true
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.ForwardHeaders = 0, policy.ForwardAll }, "/")
	inBubble(t, counted(&asked, tagged), rigOptions{below: []store.Tier{below}}, route, func(b *bubble) {
		b.do("GET", "/a").want(t, "the copy", 200, "1", "stored")
		b.pass(15 * time.Second)
		b.do("HEAD", "/a").want(t, "the HEAD", 200, "", "stored; detail=head-miss")
		synctest.Wait()
		b.another().do("GET", "/a").want(t, "another instance", 200, "1", "hit")
	})
}
