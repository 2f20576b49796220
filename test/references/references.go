// Package references watches, for tests, whether every reference to a copy is given back. A program that imports it watches all copies
// from its start; each copy in Go's memory has bytes of its own then, which are overwritten when it becomes free: who reads them
// nevertheless gets something else than the test wants.
package references

import (
	"sync"
	"testing"

	"cacheproxy/store"
)

// made knows the copies that are not free, by the order in which they were made.
var made = func() *tracker {
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

// Made is how many copies were made up to now.
func Made() int {
	made.mu.Lock()
	defer made.mu.Unlock()
	return made.n
}

// WantAllFree fails the test unless every copy made after the first n is free once the stores are empty.
func WantAllFree(t testing.TB, n int, stores ...*store.Store) {
	t.Helper()
	for _, s := range stores {
		s.Memory().Resize(0)
		s.Memory().Settle()
	}
	for _, c := range made.since(n) {
		t.Errorf("a reference to a copy was not given back: %d, %q", c.Status(), c.Head())
	}
}

// Hold takes a reference to an item that is a copy, as a tier does that keeps what it is given. It returns the item.
func Hold(item store.Item) store.Item {
	if c, ok := item.(*store.Copy); ok {
		c.Hold()
	}
	return item
}

// Release gives back the reference of Hold.
func Release(item store.Item) {
	if c, ok := item.(*store.Copy); ok {
		c.Release()
	}
}

// Tier is a tier of a test, which gives back what it holds.
type Tier interface{ Empty() }

// Empty empties those tiers that are a Tier.
func Empty(below []store.Tier) {
	for _, tier := range below {
		if t, ok := tier.(Tier); ok {
			t.Empty()
		}
	}
}
