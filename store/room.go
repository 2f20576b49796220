package store

import (
	"math"
	"slices"
	"sync/atomic"
	"unsafe"

	"cacheproxy/store/slab"
)

// room is the memory, not Go's, of the packed copies of one Memory, with the lists and families that they share. It outlives the Memory as long as one of
// its copies is in use.
type room struct {
	heap     slab.Heap
	lists    lists
	families families
	number   uint16

	closed atomic.Bool // its Memory is gone
}

// rooms has all rooms, by number from one. A packed copy has the number of its room, because Go's collector would not see a pointer in it. The slice is
// replaced, and never written to.
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

// poison is what overwrites the block of a copy that is free where tests watch: who uses it then does not go on unnoticed.
const poison = 0xdb

// free gives back the block of a copy without references, and its uses of a list and a family.
func (r *room) free(c *Copy) {
	r.lists.give(c.packed.vary)
	family := c.packed.family
	r.release(c)
	r.families.give(family)
}

// release gives back the block of a copy that is free, or that was moved to another block.
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

// forget removes a room from rooms when its Memory is gone and no block of it is in use.
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
