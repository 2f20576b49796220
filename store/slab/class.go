package slab

import "math/bits"

const (
	pageSize = 4 << 10
	// largest is the largest block of which a run has several, in bytes. Above it each has a run of its own, of whole pages.
	largest = 32 << 10
	// Sizes up to fine are multiples of step; above, there are perDoubling of them from each power of two to the next, so that less
	// than a thirty-second of a block is lost.
	fine        = 1 << 10
	step        = 32
	perDoubling = 32

	classes   = fine/step + perDoubling*5 // up to largest
	mostSlots = 128                       // of a run
	mostPages = 128                       // of a run of several blocks
)

// classOf is the class of a size of at most largest.
func classOf(n int) int {
	if n <= fine {
		return max(n-1, 0) / step
	}
	doubling := bits.Len(uint(n-1)) - 1 // 10 for what is above 1 KiB up to 2 KiB
	return fine/step + (doubling-10)*perDoubling + (n-1-1<<doubling)>>(doubling-5)
}

// sizeOf is the size of the blocks of a class.
func sizeOf(class int) int {
	if class < fine/step {
		return (class + 1) * step
	}
	class -= fine / step
	doubling := 10 + class/perDoubling
	return 1<<doubling + (class%perDoubling+1)<<(doubling-5)
}

// pagesOf is how many pages a run of each class has: of those that give at least eight blocks the number that loses the least, and of
// equals the smaller one.
var pagesOf = func() (pages [classes]int) {
	for class := range pages {
		size := sizeOf(class)
		least := 1.0
		for n := max(1, (8*size+pageSize-1)/pageSize); n <= mostPages; n++ {
			slots := min(n*pageSize/size, mostSlots)
			if lost := 1 - float64(slots*size)/float64(n*pageSize); lost < least-0.002 {
				least, pages[class] = lost, n
			}
			if slots >= 64 {
				break
			}
		}
	}
	return pages
}()

// Rounded is what a block of n bytes takes.
func Rounded(n int) int {
	if n > largest {
		return (n + pageSize - 1) / pageSize * pageSize
	}
	return sizeOf(classOf(n))
}
