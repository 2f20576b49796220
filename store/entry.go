package store

import (
	"sync/atomic"
	"unsafe"

	"cacheproxy/store/slab"
)

// entry is the beginning of a block of the table. A Copy follows it, or the rest of an other. older, newer and the queue are guarded by the table's mu.
// next, and the links that lead to an entry, are written with both mu and the lock of the shard held, and read with either.
type entry struct {
	next         slab.Ref // in its bucket
	older, newer slab.Ref // in its queue
	self         slab.Ref
	hash         uint32
	marks        atomic.Uint32 // see the bits
}

// Bits of entry.marks.
const (
	// readsMask: reads since the entry came into its queue, up to mostReads, less one for each time that it was spared from eviction.
	readsMask = 3
	queueAt   = 2 // two bits: the queue; nowhere: the entry has left the table
	queueMask = 3 << queueAt
	isOther   = 1 << 4 // the entry begins an other, not a copy
)

func (e *entry) reads() uint32 { return e.marks.Load() & readsMask }

// read counts a read. Of two concurrent reads, one may not be counted.
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

// other is the block of an item that is in Go's memory: any item but a Copy. The key follows it.
type other struct {
	entry
	item uint32 // index of the item in the shard's items
	key  uint32 // length of the key
}

const otherSize = unsafe.Sizeof(other{})

func otherOf(e *entry) *other { return (*other)(unsafe.Pointer(e)) }
