// Package slab has memory for bytes that Go's garbage collector does not manage: the collector does not scan them, and
// Go's heap does not grow to twice their size.
//
// # The invariant
//
// At any time every page of a Heap is in one of two states. Either the page belongs to one run, or it is free and takes
// no memory (its contents were given back to the system). A run has blocks of one size, each of which is used or free.
// So
//
//	Heap.Used  = the sizes of the blocks that are used
//	Heap.Pages = the pages of all runs ≥ Heap.Used
//
// and Pages is the memory that the process takes for the heap. The difference is free blocks in runs that also have
// used ones. The owner of the blocks keeps the difference small: Sparsest names the run that is best emptied, and Alloc
// gives out no block of that run until it is empty.
//
// A block is aligned to 16 bytes. Its contents are undefined when Alloc gives it out. The addresses of pages stay
// reserved for the heap when the pages are given back. So an address that was kept for too long never points to one of
// Go's objects. Blocks may hold pointers to blocks of the same heap, but no pointer that Go's collector has to see.
//
// On systems other than Linux, and with the race detector, which watches only Go's memory, the pages are one of Go's
// objects without pointers, and free pages are not given back.
package slab
