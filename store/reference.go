package store

import (
	"math"
	"sync/atomic"
)

// free is the reference count of a free copy: no key and no caller has a reference. The count is so far below zero that
// no number of concurrent calls of Take makes it positive.
const free = math.MinInt32 / 2

// watchers are the callbacks of a test that follows copies.
type watchers struct {
	made  func(c *Copy, body []byte) []byte
	freed func(c *Copy, body []byte)
}

// watching is nil outside such tests.
var watching atomic.Pointer[watchers]

// Watch is for tests. made is called for each new copy. For a copy in Go's memory made returns the bytes that the copy
// uses in place of body. body is nil where the copy is packed, or shares the body of another copy. freed is called for
// each copy that becomes free, with the bytes that become free too, or nil where another copy still has them. After
// freed, a packed copy is overwritten, so that a use without a reference does not go unnoticed. Both may be called with
// locks held. Watch must be called before the first copy is made.
func Watch(made func(c *Copy, body []byte) []byte, freed func(c *Copy, body []byte)) {
	if made == nil {
		watching.Store(nil)
		return
	}
	watching.Store(&watchers{made, freed})
}

// tellMade calls the watcher for a new copy, and returns the bytes to use in place of body.
func tellMade(c *Copy, body []byte) []byte {
	if w := watching.Load(); w != nil {
		return w.made(c, body)
	}
	return body
}

// tellFreed calls the watcher for a free copy, and reports whether there is a watcher.
func tellFreed(c *Copy, body []byte) bool {
	w := watching.Load()
	if w != nil {
		w.freed(c, body)
	}
	return w != nil
}

// begin gives a new copy in Go's memory its body, and its first reference, which belongs to the maker.
func (c *Copy) begin(body []byte) *Copy {
	if len(body) == 0 {
		body = nil
	}
	c.made().body = tellMade(c, body)
	c.Use.references.Store(1)
	return c
}

// share gives a new copy the body of another, and its first reference, which belongs to the maker. The caller must have
// a reference to the other copy.
func (c *Copy) share(other *Copy) *Copy {
	tellMade(c, nil)
	m := c.made()
	m.body, m.base = other.Body(), other.Hold()
	c.Use.references.Store(1)
	return c
}

// Take adds a reference to a copy in Go's memory for a caller who has none yet. Take reports false where the copy is
// free. Take is not for a stored copy: a caller without a reference must not touch one. Memory.Take adds its reference
// while the lock of the shard keeps the copy stored.
//
// The race: owner W gives back the last reference while reader R calls Take. If R's increment comes before the exchange
// in W's Release, the exchange fails and R has the copy, as if W had come later. If the increment comes after the
// exchange, the count is below zero, and R takes its increment back.
func (c *Copy) Take() bool {
	if c.Use.references.Add(1) > 0 {
		return true
	}
	c.Use.references.Add(-1)
	return false
}

// Hold adds a reference for another goroutine, or for longer, and returns the copy. The caller must have a reference
// already. A nil Copy counts none.
func (c *Copy) Hold() *Copy {
	if c != nil && c.Use.references.Add(1) <= 1 {
		panic("store: a copy is held by one who has no reference to it")
	}
	return c
}

// Release gives a reference back. With the last one the copy becomes free. A nil Copy counts none.
func (c *Copy) Release() {
	if c == nil {
		return
	}
	switch n := c.Use.references.Add(-1); {
	case n < 0:
		panic("store: a reference to a copy is given back twice")
	case n == 0 && c.Use.references.CompareAndSwap(0, free): // else Take has added a reference meanwhile
		c.end()
	}
}

// end frees the memory of a free copy. A copy in Go's memory is left to the garbage collector, with the body unless
// another copy has that.
func (c *Copy) end() {
	if c.isPacked() {
		roomOf(c).free(c)
		return
	}
	switch m := c.made(); {
	case m.base != nil:
		tellFreed(c, nil)
		m.base.Release()
	default:
		tellFreed(c, m.body)
	}
}

// Release gives back the reference of the look-up.
func (f Found) Release() { f.Copy.Release() }

// Release gives a reference to the parts back.
func (p *Parts) Release() {
	if p != nil {
		p.Of.Release()
	}
}

// counted is the copy that counts the references to an item; nil for items without a count.
func counted(item Item) *Copy {
	switch item := item.(type) {
	case *Copy:
		return item
	case *Parts:
		return item.Of
	}
	return nil
}
