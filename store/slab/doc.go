// Package slab is room for bytes that Go's garbage collector does not manage: what is in it is neither scanned nor kept twice.
//
// # The invariant
//
// At any time every page of a Heap is in one of two states: it belongs to one run, or it is free and takes no memory (its contents were
// given back to the system). A run has blocks of one size, each of which is used or free. So
//
//	Heap.Used  = the sizes of the blocks that are used
//	Heap.Pages = the pages of all runs ≥ Heap.Used
//
// and Pages is what the process takes for the heap. The difference is free blocks in runs that have used ones. Whoever owns the
// blocks keeps it small: Sparsest names the run that is best left, and is not given out again until it is empty.
//
// A block is aligned to 16 bytes. Its contents are undefined when it is given out. Addresses stay reserved for the heap when pages are
// given back, so that one that was kept too long is never taken for one of Go's objects. Blocks may hold pointers to blocks of the same
// heap, and nothing that Go's collector has to see.
//
// On systems other than Linux, and with the race detector, which watches Go's memory alone, the pages are one of Go's objects
// without pointers, and free pages are not given back.
package slab
