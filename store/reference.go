package store

import "math"

// free is the count of a copy that nobody has and that is stored nowhere: so far below zero that no number of goroutines brings it
// up again.
const free = math.MinInt32 / 2

// watched stands in for memory that is not Go's, and tells tests what becomes of copies. Nil: nobody watches.
var watched struct {
	made  func(c *Copy, body []byte) []byte
	freed func(c *Copy, body []byte)
}

// Watch is for tests. From now on made is told of each new copy, and returns the bytes that it has in the place of body, which is nil
// where the copy shares that of another. Freed is told of each copy that becomes free, and gets the bytes that become free with it:
// nil where another copy has them still. Both may be called with locks held. Watch must be called before the first copy is made.
func Watch(made func(c *Copy, body []byte) []byte, freed func(c *Copy, body []byte)) {
	watched.made, watched.freed = made, freed
}

// make gives a new copy its body and its first reference, which is the maker's.
func (c *Copy) make(body []byte) *Copy {
	if len(body) == 0 {
		body = nil
	}
	if watched.made != nil {
		body = watched.made(c, body)
	}
	c.body, c.with = body, new(sharers)
	c.with.Store(1)
	c.references.Store(1)
	return c
}

// share gives a new copy the body of another, to which the caller has a reference, and its first reference, which is the maker's.
func (c *Copy) share(other *Copy) *Copy {
	if watched.made != nil {
		watched.made(c, nil)
	}
	c.body, c.with = other.body, other.with
	c.with.Add(1)
	c.references.Store(1)
	return c
}

// Take adds a reference for one who has come upon the copy in the store and has none yet. It reports false where the copy is free.
//
// The copy may leave the store between the look into the table and this call. Reader R gets the copy from the table; writer W
// replaces it there and gives back what was the last reference; R adds one. If R's comes before W's exchange in Release, that fails,
// and R has the copy, as if W had come later. If it comes after, the count is below zero, and R takes back what it has added.
func (c *Copy) Take() bool {
	if c.references.Add(1) > 0 {
		return true
	}
	c.references.Add(-1)
	return false
}

// Hold adds a reference for another goroutine, or for longer, and returns the copy. The caller must have one already. Nil has none.
func (c *Copy) Hold() *Copy {
	if c != nil && c.references.Add(1) <= 1 {
		panic("store: a copy is held by one who has no reference to it")
	}
	return c
}

// Release gives a reference back. With the last one the copy is free. Nil has none.
func (c *Copy) Release() {
	if c == nil {
		return
	}
	switch n := c.references.Add(-1); {
	case n < 0:
		panic("store: a reference to a copy is given back twice")
	case n == 0 && c.references.CompareAndSwap(0, free): // else somebody has taken it meanwhile
		c.end()
	}
}

// end is the end of a copy that is free, and of its body if no other copy has it. Both are left to Go's garbage collector: this is the
// one place where memory that is not Go's would be given back.
func (c *Copy) end() {
	body := c.body
	if c.with.Add(-1) > 0 {
		body = nil
	}
	if watched.freed != nil {
		watched.freed(c, body)
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
