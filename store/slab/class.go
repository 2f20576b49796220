package slab

import "math/bits"

const (
	pageSize = 4 << 10
	// largest is the size of the largest block that shares a run with others, in bytes. A larger block has a run of its
	// own, of whole pages.
	largest = 32 << 10
	// fine is the size up to which sizes are multiples of step. Above fine, each doubling has perDoubling sizes, so
	// that less than a thirty-second of a block is lost.
	fine        = 1 << fineBits
	fineBits    = 12
	step        = 16
	perDoubling = 32

	classes   = fine/step + perDoubling*(15-fineBits) // up to largest
	slotBits  = 7
	mostSlots = 1 << slotBits        // of a run
	mostRuns  = 1 << (32 - slotBits) // with nowhere; full runs would have a terabyte or more
	mostPages = 128                  // of a run of several blocks
)

// classOf is the class of a size up to largest.
func classOf(n int) int {
	if n <= fine {
		return max(n-1, 0) / step
	}
	doubling := bits.Len(uint(n-1)) - 1 // 12 for sizes above 4 KiB up to 8 KiB
	return fine/step + (doubling-fineBits)*perDoubling + (n-1-1<<doubling)>>(doubling-5)
}

// sizeOf is the size of the blocks of a class.
func sizeOf(class int) int {
	if class < fine/step {
		return (class + 1) * step
	}
	class -= fine / step
	doubling := fineBits + class/perDoubling
	return 1<<doubling + (class%perDoubling+1)<<(doubling-5)
}

const (
	// fewPages is the number of pages that the first runs of a class may have, unless a block needs more.
	fewPages = 4
	// fewSlots is the least number of blocks of a run, where the page limit allows as many.
	fewSlots = 8
	// runShare is the divisor of a class's pages that bounds the next run: a run has at most one eighth. So the free
	// blocks in the run that Alloc uses are few compared with the used blocks.
	runShare = 8
)

// pagesOf is the number of pages for the next run of a class that has as many as have already. Of the allowed numbers
// pagesOf picks the one that loses the least at the end of the run, and of equal ones the smaller.
func pagesOf(class, have int) (pages int) {
	size := sizeOf(class)
	pages = (size + pageSize - 1) / pageSize
	most, least := min(max(pages, fewPages, have/runShare), mostPages), 1.0
	from := (fewSlots*size + pageSize - 1) / pageSize
	if from > most {
		from = pages
	}
	for n := from; n <= most; n++ {
		slots := min(n*pageSize/size, mostSlots)
		if lost := 1 - float64(slots*size)/float64(n*pageSize); lost < least-0.002 {
			least, pages = lost, n
		}
		if slots >= 64 {
			break
		}
	}
	return pages
}

// Rounded is the number of bytes that a block of n bytes takes.
func Rounded(n int) int {
	if n > largest {
		return (n + pageSize - 1) / pageSize * pageSize
	}
	return sizeOf(classOf(n))
}
