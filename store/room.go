package store

import (
	"math"
	"slices"
	"sync/atomic"
	"unsafe"

	"cacheproxy/store/slab"
)

// room has the memory of packed copies, which is not Go's, and the parts that they share. A room outlives its Memory
// while anybody has a reference to one of its copies.
type room struct {
	heap     slab.Heap
	lists    lists
	families families
	number   uint16

	closed atomic.Bool // set when the room's Memory has been collected
}

// rooms are numbered from one. A packed copy says the number of its room, since Go's collector would not see a pointer.
// Nobody writes to the slice; a change stores a new one.
var rooms atomic.Pointer[[]*room]

// roomOf is the room of a packed copy.
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

// poison overwrites the block of a free copy where tests watch, so that a use without a reference does not go
// unnoticed.
const poison = 0xdb

// free gives back the block of a free copy, and the copy's uses of its list and family.
func (r *room) free(c *Copy) {
	r.lists.give(c.packed.vary)
	family := c.packed.family
	r.release(c)
	r.families.give(family)
}

// release gives back the block of a copy that is free, or that compact has moved to another block.
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

// forget lets Go's collector have a room whose Memory is gone and whose last block is free.
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
