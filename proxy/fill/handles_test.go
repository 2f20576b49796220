package fill

import (
	"sync"
	"testing"

	"cacheproxy/store"
)

// copiesMade knows the copies that are not free, by the order in which they were made. Each has bytes of its own, which are
// overwritten when they become free: who reads them then gets something else than the test wants.
var copiesMade = func() *tracker {
	t := &tracker{live: map[*store.Copy]int{}}
	store.Watch(t.made, t.freed)
	return t
}()

type tracker struct {
	mu   sync.Mutex
	n    int
	live map[*store.Copy]int
}

func (t *tracker) made(c *store.Copy, body []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	t.live[c] = t.n
	return append(make([]byte, 0, len(body)), body...)
}

func (t *tracker) freed(c *store.Copy, body []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, alive := t.live[c]; !alive {
		panic("a copy becomes free twice")
	}
	delete(t.live, c)
	for i := range body {
		body[i] = '#'
	}
}

// since is the copies that were made after the first n and are not free.
func (t *tracker) since(n int) (left []*store.Copy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c, made := range t.live {
		if made > n {
			left = append(left, c)
		}
	}
	return left
}

func (t *tracker) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// wantAllFree fails the test unless every copy made after the first n is free once the stores are empty.
func wantAllFree(t testing.TB, n int, stores ...*store.Store) {
	t.Helper()
	for _, s := range stores {
		s.Memory().Resize(0)
		s.Memory().Settle()
	}
	for _, c := range copiesMade.since(n) {
		t.Errorf("a reference to a copy was not given back: %d, %q", c.Status(), c.Head())
	}
}

// hold takes a reference to an item that is a copy, as a tier does that keeps what it is given.
func hold(item store.Item) store.Item {
	if c, ok := item.(*store.Copy); ok {
		c.Hold()
	}
	return item
}

// release gives it back.
func release(item store.Item) {
	if c, ok := item.(*store.Copy); ok {
		c.Release()
	}
}

// empty empties the tiers of a test.
func empty(below []store.Tier) {
	for _, tier := range below {
		if t, ok := tier.(interface{ empty() }); ok {
			t.empty()
		}
	}
}
