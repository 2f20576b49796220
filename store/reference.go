package store

import (
	"math"
	"sync/atomic"
)

// free is the count of a copy that nobody has and that is stored nowhere: so far below zero that no number of goroutines brings it
// up again.
const free = math.MinInt32 / 2

// watchers are told by tests what becomes of copies.
type watchers struct {
	made  func(c *Copy, body []byte) []byte
	freed func(c *Copy, body []byte)
}

// watching is nil where nobody watches.
var watching atomic.Pointer[watchers]

// Watch is for tests. From now on made is told of each new copy. For one in Go's memory it returns the bytes that the copy has in the
// place of body; that is nil where the copy is packed, or shares the body of another. Freed is told of each copy that becomes free, and
// gets the bytes that become free with it: nil where another copy has them still. After that, what was packed is overwritten, so that who
// uses it nevertheless does not go on unnoticed. Both may be called with locks held. Watch must be called before the first copy is made.
func Watch(made func(c *Copy, body []byte) []byte, freed func(c *Copy, body []byte)) {
	if made == nil {
		watching.Store(nil)
		return
	}
	watching.Store(&watchers{made, freed})
}

// tellMade tells who watches of a new copy.
func tellMade(c *Copy, body []byte) []byte {
	if w := watching.Load(); w != nil {
		return w.made(c, body)
	}
	return body
}

// tellFreed tells who watches of a copy that is free, and reports whether anybody does.
func tellFreed(c *Copy, body []byte) bool {
	w := watching.Load()
	if w != nil {
		w.freed(c, body)
	}
	return w != nil
}

// begin gives a new copy in Go's memory its body and its first reference, which is the maker's.
func (c *Copy) begin(body []byte) *Copy {
	if len(body) == 0 {
		body = nil
	}
	c.made().body = tellMade(c, body)
	c.Use.references.Store(1)
	return c
}

// share gives a new copy the body of another, to which the caller has a reference, and its first reference, which is the maker's.
func (c *Copy) share(other *Copy) *Copy {
	tellMade(c, nil)
	m := c.made()
	m.body, m.base = other.Body(), other.Hold()
	c.Use.references.Store(1)
	return c
}

// Take adds a reference to a copy in Go's memory for one who has none yet. It reports false where the copy is free. (Of a copy that is
// stored, who has no reference must not even ask: Memory.Take does, while it holds what keeps the copy there.)
//
// Owner W gives back the last reference while reader R takes one. If R's comes before W's exchange in Release, that fails, and R has
// the copy, as if W had come later. If it comes after, the count is below zero, and R takes back what it has added.
func (c *Copy) Take() bool {
	if c.Use.references.Add(1) > 0 {
		return true
	}
	c.Use.references.Add(-1)
	return false
}

// Hold adds a reference for another goroutine, or for longer, and returns the copy. The caller must have one already. Nil has none.
func (c *Copy) Hold() *Copy {
	if c != nil && c.Use.references.Add(1) <= 1 {
		panic("store: a copy is held by one who has no reference to it")
	}
	return c
}

// Release gives a reference back. With the last one the copy is free. Nil has none.
func (c *Copy) Release() {
	if c == nil {
		return
	}
	switch n := c.Use.references.Add(-1); {
	case n < 0:
		panic("store: a reference to a copy is given back twice")
	case n == 0 && c.Use.references.CompareAndSwap(0, free): // else somebody has taken it meanwhile
		c.end()
	}
}

// end is the end of a copy that is free. One in Go's memory is left to the garbage collector, with its body if no other has that.
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

// Release gives the reference back that the look-up has taken.
func (f Found) Release() { f.Copy.Release() }

// Release gives a reference to the parts back.
func (p *Parts) Release() {
	if p != nil {
		p.Of.Release()
	}
}

// counted is the copy in which references to an item are counted; nil: they are not.
func counted(item Item) *Copy {
	switch item := item.(type) {
	case *Copy:
		return item
	case *Parts:
		return item.Of
	}
	return nil
}
