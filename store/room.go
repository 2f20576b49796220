package store

import (
	"math"
	"slices"
	"sync/atomic"
	"unsafe"

	"cacheproxy/store/slab"
)

// room is where copies are packed: memory that is not Go's, and what they have in common. It outlives its Memory for as long as
// somebody has a copy.
type room struct {
	heap     slab.Heap
	lists    lists
	families families
	number   uint16

	closed atomic.Bool // its Memory is gone
}

// rooms are numbered from one. A packed copy says the number of its own: a pointer to it Go's collector would not see. The slice is never written to.
var rooms atomic.Pointer[[]*room]

// roomOf is where a packed copy is.
func roomOf(c *Copy) *room { return (*rooms.Load())[c.packed.room] }

func newRoom() *room {
	r := &room{}
	for {
		known := rooms.Load()
		next := []*room{nil}
		if known != nil {
			next = slices.Clone(*known)
		}
		n := 1
		for n < len(next) && next[n] != nil {
			n++
		}
		switch {
		case n > math.MaxUint16:
			panic("store: there are more memories than are told apart")
		case n == len(next):
			next = append(next, r)
		default:
			next[n] = r
		}
		r.number = uint16(n)
		if rooms.CompareAndSwap(known, &next) {
			return r
		}
	}
}

// poison is what overwrites the block of a copy that is free where tests watch: who uses it then does not go on unnoticed.
const poison = 0xdb

// free gives the block of a copy back that nobody has.
func (r *room) free(c *Copy) {
	r.lists.give(c.packed.vary)
	family := c.packed.family
	r.release(c)
	r.families.give(family)
}

// release gives the block of a copy back that is free, or stands in another block by now.
func (r *room) release(c *Copy) {
	e := entryOf(c)
	if tellFreed(c, c.Body()) {
		block := unsafe.Slice((*byte)(unsafe.Pointer(c)), c.packed.placesOf(c).end)
		for i := range block {
			block[i] = poison
		}
	}
	r.heap.Free(e.self)
	r.forget()
}

// forget lets Go's collector have a room that nobody has anything of.
func (r *room) forget() {
	for r.closed.Load() && r.heap.Used() == 0 {
		known := rooms.Load()
		if (*known)[r.number] != r {
			return
		}
		next := slices.Clone(*known)
		next[r.number] = nil
		if rooms.CompareAndSwap(known, &next) {
			return
		}
	}
}
