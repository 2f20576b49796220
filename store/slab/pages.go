package slab

import (
	"math/bits"
	"unsafe"
)

// chunk is a stretch of addresses from the system, which the heap keeps for the life of the process.
type chunk struct {
	base  unsafe.Pointer
	pages int
	free  int      // pages that belong to no run
	taken []uint64 // a bit for each page that belongs to a run
	from  int      // no page before this one is free
}

// find is the first of n free pages in a row; negative: the chunk has none.
func (c *chunk) find(n int) int {
	row := 0
	for at := c.from; at < c.pages; at++ {
		word := c.taken[at/64] >> (at % 64)
		if word == 0 { // all pages left in the word are free
			left := min(64-at%64, c.pages-at)
			if row+left >= n {
				return at - row
			}
			row += left
			at += left - 1
			continue
		}
		if word&1 != 0 {
			row = 0
			at += bits.TrailingZeros64(^word) - 1 // skip the rest of the taken pages in a row
			continue
		}
		if row++; row == n {
			return at - n + 1
		}
	}
	return -1
}

func (c *chunk) mark(first, n int, taken bool) {
	for at := first; at < first+n; at++ {
		if taken {
			c.taken[at/64] |= 1 << (at % 64)
		} else {
			c.taken[at/64] &^= 1 << (at % 64)
		}
	}
	if taken {
		c.free -= n
		if first == c.from {
			c.from = first + n
		}
		return
	}
	c.free += n
	c.from = min(c.from, first)
}

// takePages takes n free pages in a row. The caller holds mu.
func (h *Heap) takePages(n int) (in, first int, ok bool) {
	for i := range h.chunks {
		if c := &h.chunks[i]; c.free >= n {
			if first := c.find(n); first >= 0 {
				c.mark(first, n, true)
				return i, first, true
			}
		}
	}
	pages := max(n, chunkPages)
	base := reserve(pages * pageSize)
	if base == nil {
		return 0, 0, false
	}
	h.chunks = append(h.chunks, chunk{base: base, pages: pages, free: pages, taken: make([]uint64, (pages+63)/64)})
	last := len(h.chunks) - 1
	h.chunks[last].mark(0, n, true)
	return last, 0, true
}

// givePages gives the memory of pages back to the system, and keeps their addresses. The caller holds mu.
func (h *Heap) givePages(in, first, n int) {
	c := &h.chunks[in]
	c.mark(first, n, false)
	discard(unsafe.Slice((*byte)(unsafe.Add(c.base, first*pageSize)), n*pageSize))
}
