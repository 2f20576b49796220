package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/store"
)

// atOnce has the path of hits answer, and gives the status; 0: it does not.
func (r *rig) atOnce(method, path string, waits bool, fields ...string) int {
	req := httptest.NewRequest(method, path, http.NoBody)
	req.Host = r.front.Listener.Addr().String()
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	w := &sink{header: http.Header{}}
	NewHits(r.proxy).Answer(w, req, waits)
	return w.status
}

// The path of hits brings up from below memory what nothing but a copy is needed for, and by the rules of memory: one look for each request, and none
// where the request or the answers before it say that it is for a fill.
func TestRecalledAtOnce(t *testing.T) {
	var asked atomic.Int64
	below := &shelf{}
	r := newRig(t, counted(&asked, set("Surrogate-Key", "t", "Content-Length", "1")), rigOptions{below: []store.Tier{below}}, routeFor(t, "all", nil, "/"))
	for _, path := range []string{"/a", "/b", "/c", "/d"} {
		r.do("GET", path).want(t, "fetched", 200, "*", "stored")
	}
	r.settle(t)
	r.forget(below)
	for _, c := range []struct {
		name, method, path string
		waits              bool
		fields             []string
		want, reads        int
	}{
		{"nobody may wait", "GET", "/a", false, nil, 0, 0},
		{"it is no GET", "HEAD", "/a", true, nil, 0, 0},
		{"a part is wanted", "GET", "/a", true, []string{"Range", "bytes=0-0"}, 0, 0},
		{"only what is at hand", "GET", "/a", true, []string{"Cache-Control", "only-if-cached"}, 0, 0},
		{"it is below", "GET", "/a", true, nil, 200, 1},
		{"it is in memory", "GET", "/a", false, nil, 200, 0},
		{"it is nowhere", "GET", "/e", true, nil, 0, 1},
		{"it was nowhere a moment ago", "GET", "/e", true, nil, 0, 0},
	} {
		before := below.read()
		if got := r.atOnce(c.method, c.path, c.waits, c.fields...); got != c.want {
			t.Errorf("%s: answered with %d, want %d", c.name, got, c.want)
		}
		if got := below.read() - before; got != c.reads {
			t.Errorf("%s: looked %d times, want %d", c.name, got, c.reads)
		}
	}
	if _, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{tag("t")}}); err != nil {
		t.Fatal(err)
	}
	if got := r.atOnce("GET", "/b", true); got != 0 {
		t.Errorf("what was purged: answered with %d", got)
	}
	below.fail()
	if got := r.atOnce("GET", "/c", true); got != 0 {
		t.Errorf("a tier that fails: answered with %d", got)
	}
	if n := asked.Load(); n != 4 {
		t.Errorf("the origin was asked %d times, want 4", n)
	}
}

// Whoever asks for what is being looked for already is left to a fill, which those share who come next.
func TestRecalledByOneAtATime(t *testing.T) {
	var asked atomic.Int64
	below := &slowShelf{began: make(chan struct{}), goOn: make(chan struct{})}
	r := newRig(t, counted(&asked, nil), rigOptions{below: []store.Tier{below}}, routeFor(t, "all", nil, "/"))
	answered := make(chan int)
	go func() { answered <- r.atOnce("GET", "/a", true) }()
	<-below.began
	if got := r.atOnce("GET", "/a", true); got != 0 || below.reads.Load() != 1 {
		t.Errorf("the second is answered with %d after %d looks, want none and one", got, below.reads.Load())
	}
	close(below.goOn)
	if got := <-answered; got != 0 {
		t.Errorf("the first is answered with %d", got)
	}
}

// slowShelf is an empty tier that takes its time for its first answer.
type slowShelf struct {
	began, goOn chan struct{}
	reads       atomic.Int64
}

func (s *slowShelf) Get(context.Context, string) (store.Item, error) {
	if s.reads.Add(1) == 1 {
		close(s.began)
		<-s.goOn
	}
	return nil, nil
}

func (s *slowShelf) Down() bool                                    { return false }
func (s *slowShelf) Put(context.Context, string, store.Item) error { return nil }

// A fill does not look again at once for what was looked for in vain: it does once it has the right to fetch. Where nobody gives
// that, it looks.
func TestFillAfterALookInVain(t *testing.T) {
	var asked atomic.Int64
	for name, c := range map[string]struct {
		claims bool
		after  time.Duration
		want   int
	}{
		"with the right to fetch":       {true, 0, 1},
		"long after":                    {true, 200 * time.Millisecond, 2},
		"without a right to be had":     {false, 0, 1},
		"without, and it is long after": {false, 200 * time.Millisecond, 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := rigOptions{below: []store.Tier{&shelf{}}}
			if c.claims {
				o.claims = &desk{}
			}
			inBubble(t, counted(&asked, nil), o, routeFor(t, "all", nil, "/"), func(b *bubble) {
				below := o.below[0].(*shelf)
				req := httptest.NewRequest("GET", "/a", http.NoBody)
				req.Host = "shop.test"
				if NewHits(b.proxy).Answer(&sink{header: http.Header{}}, req, true) {
					t.Error("answered with nothing")
				}
				<-time.After(c.after)
				before := below.read()
				b.do("GET", "/a", "Host", "shop.test").want(t, "fetched", 200, "*", "stored")
				if got := below.read() - before; got != c.want {
					t.Errorf("the fill looked %d times, want %d", got, c.want)
				}
			})
		})
	}
}
