package store

import (
	"sync/atomic"
	"unsafe"

	"cacheproxy/store/slab"
)

// entry is the beginning of a block. A Copy follows, or the rest of an other. The table's mu guards older, newer and
// the queue. The lock of the shard guards next and every link that leads to the entry: a writer holds mu and that lock,
// a reader either.
type entry struct {
	next         slab.Ref // in its bucket
	older, newer slab.Ref // in its queue
	self         slab.Ref
	hash         uint32
	marks        atomic.Uint32 // see the bits
}

// Bits of entry.marks.
const (
	// readsMask is for the reads since the entry came into its queue, up to mostReads. makeRoom lowers the count each
	// time that it spares the entry.
	readsMask = 3
	queueAt   = 2 // two bits; nowhere: the entry has left
	queueMask = 3 << queueAt
	isOther   = 1 << 4 // no Copy follows
)

func (e *entry) reads() uint32 { return e.marks.Load() & readsMask }

// read counts a read. Of two concurrent reads one may not be counted.
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

// other is the beginning of the block of an item in Go's memory. The key follows.
type other struct {
	entry
	item uint32 // index in the shard's items
	key  uint32 // length
}

const otherSize = unsafe.Sizeof(other{})

func otherOf(e *entry) *other { return (*other)(unsafe.Pointer(e)) }
