package slab

import (
	"iter"
	"math/bits"
	"slices"
	"sync/atomic"
	"unsafe"

	"cacheproxy/lockorder"
)

// Block is memory for bytes.
type Block struct {
	At unsafe.Pointer
	// Ref is the name by which Heap.At finds the block.
	Ref Ref
	// Size is the number of bytes, at least as many as the caller of Alloc asked for.
	Size int
}

// Ref names a block in half as many bytes as its address. The zero Ref names no block.
type Ref uint32

func refTo(run uint32, slot int) Ref { return Ref(run)<<slotBits | Ref(slot) }

func (r Ref) run() uint32 { return uint32(r >> slotBits) }
func (r Ref) slot() int   { return int(r & (mostSlots - 1)) }

// Heap gives out blocks. The zero value is empty and ready to use. It is safe for concurrent use.
type Heap struct {
	mu     lockorder.Mutex[lockorder.Slab]
	chunks []chunk // guarded by mu
	runs   []run   // guarded by mu
	// places says where each run is. The owner of a block reads the place of the block's run without mu. Alloc wrote
	// that place before giving out the block, and the place does not change until the block is free.
	places atomic.Pointer[[]*[placesAtOnce]place]
	spare  uint32 // the first unused run; each leads to the next by next; nowhere: none is unused; guarded by mu
	// open is the first run of each class that has free blocks; guarded by mu.
	open    [classes]uint32
	classes [classes]class // guarded by mu

	used, pages atomic.Int64 // in bytes; written with mu held
}

// class counts the pages and free blocks of one size.
type class struct {
	pages, free int // pages of all its runs, and the free blocks in runs that are not closed
}

// run is a stretch of pages with blocks of one size. Runs are numbered from one: zero is nowhere.
type run struct {
	chunk, first uint32 // chunk, and first page in it
	pages        uint32
	ready        uint32 // how many pages, from the first on, makeReady has asked for
	class        int32  // large: the run is one block
	slots, used  uint32
	free         [mostSlots / 64]uint64 // a bit for each block that is free
	next, before uint32                 // neighbours among the open runs of its class
	closed       bool                   // Alloc gives out no block until the run is empty, or Open is called
}

// place has the address of a run.
type place struct {
	base unsafe.Pointer
	size uintptr // of a block
}

// placesAtOnce is how many places are added at a time. The existing ones keep their addresses.
const placesAtOnce = 1 << 10

const (
	nowhere = 0
	large   = -1
)

// At is the address of the block of a Ref. The block must be used.
func (h *Heap) At(r Ref) unsafe.Pointer {
	run := r.run()
	p := &(*h.places.Load())[run/placesAtOnce][run%placesAtOnce]
	return unsafe.Add(p.base, uintptr(r.slot())*p.size)
}

// settle writes the place of a run. The caller holds mu.
func (h *Heap) settle(at uint32, size int) {
	var all []*[placesAtOnce]place
	if known := h.places.Load(); known != nil {
		all = *known
	}
	if int(at/placesAtOnce) >= len(all) {
		all = append(slices.Clip(all), new([placesAtOnce]place))
		h.places.Store(&all)
	}
	all[at/placesAtOnce][at%placesAtOnce] = place{h.addressOf(&h.runs[at]), uintptr(size)}
}

// Used is the number of bytes of all used blocks.
func (h *Heap) Used() int64 { return h.used.Load() }

// Pages is the number of bytes that the process takes for all runs.
func (h *Heap) Pages() int64 { return h.pages.Load() }

// Alloc gives out a block of at least n bytes. Alloc reports false where the system gives no memory, or all numbers of
// runs are taken.
func (h *Heap) Alloc(n int) (Block, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n > largest {
		pages := (n + pageSize - 1) / pageSize
		at, ok := h.newRun(pages)
		if !ok {
			return Block{}, false
		}
		r := &h.runs[at]
		r.class, r.slots, r.used = large, 1, 1
		h.settle(at, 0)
		h.makeReady(r, pages)
		h.used.Add(int64(pages) * pageSize)
		return Block{At: h.addressOf(r), Ref: refTo(at, 0), Size: pages * pageSize}, true
	}
	class := classOf(n)
	size := sizeOf(class)
	at := h.open[class]
	if at == nowhere {
		var ok bool
		if at, ok = h.newRun(pagesOf(class, h.classes[class].pages)); !ok {
			return Block{}, false
		}
		h.fillRun(at, class, size)
	}
	r := &h.runs[at]
	slot := r.take()
	h.classes[class].free--
	if r.used == r.slots {
		h.shut(at)
	}
	h.used.Add(int64(size))
	h.makeReady(r, ((slot+1)*size+pageSize-1)/pageSize)
	return Block{At: unsafe.Add(h.addressOf(r), slot*size), Ref: refTo(at, slot), Size: size}, true
}

// readyAtOnce is the least number of pages that makeReady asks for. While the system works on the request, mu keeps
// other goroutines from Alloc.
const readyAtOnce = 16

// makeReady asks the system for the memory of the first pages of a run, and of some more, since take gives out the
// blocks from the beginning of a run. The caller holds mu.
func (h *Heap) makeReady(r *run, pages int) {
	have := int(r.ready)
	if pages <= have {
		return
	}
	n := min(max(pages-have, readyAtOnce), int(r.pages)-have)
	populate(unsafe.Slice((*byte)(unsafe.Add(h.addressOf(r), have*pageSize)), n*pageSize))
	r.ready = uint32(have + n)
}

// take marks the first free block of the run as used, and returns its number.
func (r *run) take() int {
	for i, word := range r.free {
		if word != 0 {
			r.free[i] &= word - 1
			r.used++
			return 64*i + bits.TrailingZeros64(word)
		}
	}
	panic("slab: a run without a free block is open")
}

// newRun makes a run of a number of pages. The caller holds mu.
func (h *Heap) newRun(pages int) (at uint32, ok bool) {
	if h.spare == nowhere && len(h.runs) == mostRuns {
		return nowhere, false
	}
	in, first, ok := h.takePages(pages)
	if !ok {
		return nowhere, false
	}
	h.pages.Add(int64(pages) * pageSize)
	if at = h.spare; at != nowhere {
		h.spare = h.runs[at].next
	} else {
		if len(h.runs) == 0 {
			h.runs = append(h.runs, run{}) // number zero, nowhere
		}
		h.runs = append(h.runs, run{})
		at = uint32(len(h.runs) - 1)
	}
	h.runs[at] = run{chunk: uint32(in), first: uint32(first), pages: uint32(pages)}
	return at, true
}

// fillRun divides a run into blocks, and opens it.
func (h *Heap) fillRun(at uint32, class, size int) {
	r := &h.runs[at]
	slots := min(int(r.pages)*pageSize/size, mostSlots)
	r.class, r.slots = int32(class), uint32(slots)
	h.settle(at, size)
	for slot := range slots {
		r.free[slot/64] |= 1 << (slot % 64)
	}
	h.classes[class].pages += int(r.pages)
	h.classes[class].free += slots
	h.reopen(at)
}

// reopen puts a run at the beginning of the open runs of its class; shut takes a run out of them.
func (h *Heap) reopen(at uint32) {
	r := &h.runs[at]
	r.before, r.next = nowhere, h.open[r.class]
	if r.next != nowhere {
		h.runs[r.next].before = at
	}
	h.open[r.class] = at
}

func (h *Heap) shut(at uint32) {
	r := &h.runs[at]
	if r.before == nowhere {
		h.open[r.class] = r.next
	} else {
		h.runs[r.before].next = r.next
	}
	if r.next != nowhere {
		h.runs[r.next].before = r.before
	}
	r.next, r.before = nowhere, nowhere
}

func (h *Heap) addressOf(r *run) unsafe.Pointer {
	return unsafe.Add(h.chunks[r.chunk].base, int(r.first)*pageSize)
}

// Free takes back a block that is used. Free panics where the block is free already.
func (h *Heap) Free(ref Ref) {
	h.mu.Lock()
	defer h.mu.Unlock()
	run, slot := ref.run(), ref.slot()
	r := &h.runs[run]
	if r.class == large {
		h.used.Add(-int64(r.pages) * pageSize)
		h.end(run)
		return
	}
	size := sizeOf(int(r.class))
	if r.free[slot/64]&(1<<(slot%64)) != 0 {
		panic("slab: a block is given back twice")
	}
	full := r.used == r.slots
	r.free[slot/64] |= 1 << (slot % 64)
	r.used--
	h.used.Add(-int64(size))
	if !r.closed {
		h.classes[r.class].free++
	}
	switch {
	case r.used == 0:
		if !r.closed {
			h.classes[r.class].free -= int(r.slots)
			if !full {
				h.shut(run)
			}
		}
		h.classes[r.class].pages -= int(r.pages)
		h.end(run)
	case full && !r.closed:
		h.reopen(run)
	}
}

// end gives the pages of a run back, and adds the run to the spare ones.
func (h *Heap) end(at uint32) {
	r := &h.runs[at]
	h.givePages(int(r.chunk), int(r.first), int(r.pages))
	h.pages.Add(-int64(r.pages) * pageSize)
	*r = run{next: h.spare}
	h.spare = at
}

// Sparsest closes a run and returns its number. Sparsest picks from runs whose used blocks all fit into the other runs
// of their class, and takes the one with the most free bytes. When the caller has moved the blocks to other runs, the
// last Free gives back the pages. Zero: no run can be emptied without new pages.
func (h *Heap) Sparsest() (run uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var gain int
	for class, c := range h.classes {
		least := h.leastUsed(class)
		if least == nowhere {
			continue
		}
		r := &h.runs[least]
		// free counts the blocks of all open runs of the class. Without this run, the others have c.free less its own
		// free blocks.
		if others := c.free - int(r.slots-r.used); others < int(r.used) {
			continue
		}
		if g := int(r.slots-r.used) * sizeOf(class); g > gain {
			run, gain = least, g
		}
	}
	if run != nowhere {
		r := &h.runs[run]
		h.shut(run)
		r.closed = true
		h.classes[r.class].free -= int(r.slots - r.used)
	}
	return run
}

// leastUsed is the open run of a class with the fewest used blocks. leastUsed looks only at the first 64 open runs.
func (h *Heap) leastUsed(class int) (least uint32) {
	looked := 0
	for at := h.open[class]; at != nowhere && looked < 64; at = h.runs[at].next {
		if least == nowhere || h.runs[at].used < h.runs[least].used {
			least = at
		}
		looked++
	}
	return least
}

// Open lets Alloc use a run again that Sparsest has closed, unless the run is empty meanwhile: some blocks could not be
// moved.
func (h *Heap) Open(at uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &h.runs[at]
	if !r.closed {
		return
	}
	r.closed = false
	h.classes[r.class].free += int(r.slots - r.used)
	if r.used < r.slots {
		h.reopen(at)
	}
}

// Blocks yields the used blocks of a run, as of when the iteration begins. Blocks may be freed during the iteration.
func (h *Heap) Blocks(at uint32) iter.Seq[Block] {
	return func(yield func(Block) bool) {
		h.mu.Lock()
		r := h.runs[at]
		base := h.addressOf(&r)
		h.mu.Unlock()
		size := sizeOf(int(r.class))
		for slot := range int(r.slots) {
			if r.free[slot/64]&(1<<(slot%64)) == 0 && !yield(Block{At: unsafe.Add(base, slot*size), Ref: refTo(at, slot), Size: size}) {
				return
			}
		}
	}
}
