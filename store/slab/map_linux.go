//go:build linux && !race

package slab

import (
	"syscall"
	"unsafe"
)

// chunkPages is how many pages the heap asks of the system at once, unless a block needs more.
const chunkPages = 1024

// reserve asks the system for n bytes of addresses, which take memory when they are first written to. Nil: the system
// has none.
func reserve(n int) unsafe.Pointer {
	p, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	// A huge page would take two megabytes where one block is written to. A kernel without huge pages returns an error,
	// which changes nothing.
	_ = syscall.Madvise(p, syscall.MADV_NOHUGEPAGE)
	return unsafe.Pointer(unsafe.SliceData(p))
}

// discard gives the memory of whole pages back to the system.
func discard(pages []byte) {
	_ = syscall.Madvise(pages, syscall.MADV_DONTNEED) // cannot fail for pages from reserve
}

// populate asks for the memory of whole pages that are about to be written to. A page fault for each page would cost
// several times as much. A kernel before 5.14 does not know the call; there the pages fault.
func populate(pages []byte) {
	const populateWrite = 23 // MADV_POPULATE_WRITE
	_ = syscall.Madvise(pages, populateWrite)
}
