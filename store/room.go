package store

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"cacheproxy/store/slab"
)

// room is where copies are packed: memory that is not Go's, and what they have in common. It outlives its Memory for as long as
// somebody has a copy.
type room struct {
	heap  slab.Heap
	lists lists
	made  made // of all copies that are packed here

	closed atomic.Bool // its Memory is gone
}

// rooms keeps them: what points to one from a packed copy, Go's collector does not see.
var rooms sync.Map

func newRoom() *room {
	r := &room{}
	r.made.room = r
	rooms.Store(r, true)
	return r
}

// poison is what overwrites the block of a copy that is free where tests watch: who uses it then does not go on unnoticed.
const poison = 0xdb

// free gives the block of a copy back that nobody has.
func (r *room) free(c *Copy) {
	r.lists.give(c.packed.vary)
	r.release(c)
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
	r.heap.Free(unsafe.Pointer(e), e.run)
	r.forget()
}

// forget lets Go's collector have a room that nobody has anything of.
func (r *room) forget() {
	if r.closed.Load() && r.heap.Used() == 0 {
		rooms.Delete(r)
	}
}

// blank has the beginning of a block be as new, before something with pointers is written to it. Go's write barrier reads what a
// pointer is written over, and would take what some body has left there for one of Go's.
func blank(at unsafe.Pointer, n uintptr) {
	clear(unsafe.Slice((*byte)(at), n))
}
