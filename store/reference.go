package store

import (
	"math"
	"sync/atomic"
)

// free is the reference count of a copy without references. It is so far below zero that no number of concurrent Adds makes it positive again.
const free = math.MinInt32 / 2

// watchers are hooks of tests; see Watch.
type watchers struct {
	made  func(c *Copy, body []byte) []byte
	freed func(c *Copy, body []byte)
}

// watching is nil where nobody watches.
var watching atomic.Pointer[watchers]

// Watch is for tests. From now on made is called for each new copy. For a copy in Go's memory, it returns the bytes that the copy uses instead of body;
// body is nil if the copy is packed, or shares the body of another. freed is called for each copy that becomes free, with the bytes that become free
// with it; nil: another copy still has them. Then the block of a packed copy is overwritten, so that a use of it is noticed. Both may be called with
// locks held. Watch must be called before the first copy is made; made nil ends it.
func Watch(made func(c *Copy, body []byte) []byte, freed func(c *Copy, body []byte)) {
	if made == nil {
		watching.Store(nil)
		return
	}
	watching.Store(&watchers{made, freed})
}

// tellMade calls the made hook, if there is one, and returns the body to use.
func tellMade(c *Copy, body []byte) []byte {
	if w := watching.Load(); w != nil {
		return w.made(c, body)
	}
	return body
}

// tellFreed calls the freed hook, and reports whether there is one.
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

// Take adds a reference to a copy in Go's memory for a goroutine that has none yet. It reports false if the copy is free. It must not be called for a
// packed copy, whose block may be reused: Memory.Take adds references to those, while it holds the lock that keeps the copy in the table.
//
// Owner W gives back the last reference while reader R takes one. If R's Add comes before W's CompareAndSwap in Release, the swap fails, and R has the
// copy, as if W had come later. If it comes after, the count is far below zero, and R undoes its Add.
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
	case n == 0 && c.Use.references.CompareAndSwap(0, free): // otherwise Take has added a reference meanwhile
		c.end()
	}
}

// end releases what a free copy has: its block if it is packed; otherwise its reference to the copy whose body it shares. The rest is left to the
// garbage collector.
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

// counted is the copy in which references to an item are counted; nil: they are not counted.
func counted(item Item) *Copy {
	switch item := item.(type) {
	case *Copy:
		return item
	case *Parts:
		return item.Of
	}
	return nil
}
