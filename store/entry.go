package store

import (
	"sync/atomic"
	"unsafe"

	"cacheproxy/store/slab"
)

// entry is the beginning of a block. A Copy follows, or what an other has. Links and the queue are guarded by the table's mu, next and
// what leads to it by that and the lock of the shard.
type entry struct {
	next         slab.Ref // in its bucket
	older, newer slab.Ref // in its queue
	self         slab.Ref
	hash         uint32
	marks        atomic.Uint32 // see the bits
}

// Bits of entry.marks.
const (
	// readsMask is for reads since it came into its queue, up to mostReads; lower by one for each time that it might have had to go.
	readsMask = 3
	queueAt   = 2 // two bits; nowhere: it has left
	queueMask = 3 << queueAt
	isOther   = 1 << 4 // no copy follows
)

func (e *entry) reads() uint32 { return e.marks.Load() & readsMask }

// read counts a read. Of two at the same time one may not be counted.
func (e *entry) read() {
	if n := e.marks.Load(); n&readsMask < mostReads {
		e.marks.CompareAndSwap(n, n+1)
	}
}

func (e *entry) queue() uint8 { return uint8(e.marks.Load() & queueMask >> queueAt) }

func (e *entry) isOther() bool { return e.marks.Load()&isOther != 0 }

func (e *entry) setReads(n uint32) { e.mark(readsMask, n) }

func (e *entry) setQueue(n uint8) { e.mark(queueMask, uint32(n)<<queueAt) }

func (e *entry) mark(mask, bits uint32) {
	for {
		if old := e.marks.Load(); e.marks.CompareAndSwap(old, old&^mask|bits) {
			return
		}
	}
}

// other is the beginning of the block of an item in Go's memory. Its key follows.
type other struct {
	entry
	item uint32 // where in the shard's items it is
	key  uint32 // length
}

const otherSize = unsafe.Sizeof(other{})

func otherOf(e *entry) *other { return (*other)(unsafe.Pointer(e)) }
