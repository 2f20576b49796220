package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/store"
	"cacheproxy/test/references"
)

// shelf is a tier that keeps everything, and counts who asks.
type shelf struct {
	mu    sync.Mutex
	items map[string]store.Item
	reads int
	fails bool
}

func (s *shelf) Get(_ context.Context, key string) (store.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.fails {
		return nil, errors.New("the shelf is gone")
	}
	return references.Hold(s.items[key]), nil
}

func (s *shelf) Down() bool { return false }

func (s *shelf) Put(_ context.Context, key string, item store.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails {
		return errors.New("the shelf is gone")
	}
	if s.items == nil {
		s.items = make(map[string]store.Item)
	}
	references.Release(s.items[key])
	s.items[key] = references.Hold(item)
	return nil
}

// Empty lets go of everything.
func (s *shelf) Empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range s.items {
		references.Release(item)
	}
	clear(s.items)
}

func (s *shelf) read() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *shelf) fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = true
}

func (s *shelf) filled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// forget empties memory of all that a tier below it has, as a restart does. What was fetched is stored by then: a client has its
// answer a moment before.
func (r *rig) forget(below *shelf) {
	r.settle(r.t)
	below.mu.Lock()
	defer below.mu.Unlock()
	for key := range below.items {
		r.store.Memory().Delete(key)
	}
}

// TestTiersAreAskedInOrder holds what a tier below memory is good for, and that it is under the same rules as memory.
func TestTiersAreAskedInOrder(t *testing.T) {
	var asked atomic.Int64
	near, far := &shelf{}, &shelf{}
	r := newRig(t, counted(&asked, set("Surrogate-Key", "t")), rigOptions{below: []store.Tier{near, far}},
		routeFor(t, "all", func(r *policy.Route) { r.Key = template(t, "a") }, "/"))
	r.do("GET", "/a").want(t, "fetched", 200, "1", "fwd=uri-miss")
	waitFor(t, func() bool { return near.filled() == 1 && far.filled() == 1 })
	r.do("GET", "/a").want(t, "from memory", 200, "1", "hit")
	before := near.read()
	r.forget(far)
	for _, a := range crowd(r, 50, "/a") {
		a.want(t, "from the tier", 200, "1", "hit")
	}
	if got := near.read() - before; got != 1 || far.read() != 1 {
		t.Errorf("tiers were read %d and %d times, want once, and the far one only for the first miss", got, far.read())
	}
	near.fail()
	r.forget(far)
	r.do("GET", "/a").want(t, "from the tier after the one that fails", 200, "1", "hit")
	if _, err := r.log.Invalidate(t.Context(), invalidation.Order{Members: []policy.Member{tag("t")}}); err != nil {
		t.Fatal(err)
	}
	r.forget(far)
	r.do("GET", "/a").want(t, "purged in every tier", 200, "2", "fwd=uri-miss; fwd-status=200; stored")
	far.fail()
	r.forget(far)
	r.do("GET", "/a").want(t, "no tier left", 200, "3", "fwd=uri-miss")
}

// TestVariantsAreRecalled brings the one variant back that a request selects.
func TestVariantsAreRecalled(t *testing.T) {
	var asked atomic.Int64
	below := &shelf{}
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Vary", "X-Lang")
		fmt.Fprint(w, r.Header.Get("X-Lang"))
	}, rigOptions{below: []store.Tier{below}}, routeFor(t, "all", func(r *policy.Route) { r.Headers = nil }, "/"))
	r.do("GET", "/a", "X-Lang", "de").want(t, "not known to be named by Vary yet", 200, "de", "detail=header-unlisted")
	r.do("GET", "/a", "X-Lang", "de").want(t, "fetched", 200, "de", "fwd=")
	r.do("GET", "/a", "X-Lang", "fr").want(t, "fetched", 200, "fr", "fwd=")
	waitFor(t, func() bool { return below.filled() >= 3 })
	before := asked.Load()
	r.forget(below)
	r.do("GET", "/a", "X-Lang", "fr").want(t, "recalled", 200, "fr", "hit")
	r.do("GET", "/a", "X-Lang", "de").want(t, "recalled", 200, "de", "hit")
	if asked.Load() != before {
		t.Errorf("the origin was asked %d times more", asked.Load()-before)
	}
}
