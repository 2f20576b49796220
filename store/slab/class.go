package slab

import "math/bits"

const (
	pageSize = 4 << 10
	// largest is the largest block of which a run has several, in bytes. Above it each has a run of its own, of whole pages.
	largest = 32 << 10
	// Sizes up to fine are multiples of step; above, there are perDoubling of them from each power of two to the next, so that less
	// than a thirty-second of a block is lost.
	fine        = 1 << fineBits
	fineBits    = 12
	step        = 16
	perDoubling = 32

	classes   = fine/step + perDoubling*(15-fineBits) // up to largest
	slotBits  = 7
	mostSlots = 1 << slotBits        // of a run
	mostRuns  = 1 << (32 - slotBits) // with nowhere; their blocks are a terabyte at the least
	mostPages = 128                  // of a run of several blocks
)

// classOf is the class of a size of at most largest.
func classOf(n int) int {
	if n <= fine {
		return max(n-1, 0) / step
	}
	doubling := bits.Len(uint(n-1)) - 1 // 12 for what is above 4 KiB up to 8 KiB
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
	// fewPages is up to how many pages a run has of a class that has no other, unless a block needs more.
	fewPages = 4
	// fewSlots is how many blocks a run has at the least, if it may have so many pages.
	fewSlots = 8
	// runShare is the part that a run may be of all pages of its class, one eighth: what is free in the run from which blocks are given out
	// is little beside what is used.
	runShare = 8
)

// pagesOf is how many pages the next run of a class has that has some already: of as many as it may have the number that loses the least
// at its end, and of equals the smaller one.
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

// Rounded is what a block of n bytes takes.
func Rounded(n int) int {
	if n > largest {
		return (n + pageSize - 1) / pageSize * pageSize
	}
	return sizeOf(classOf(n))
}
