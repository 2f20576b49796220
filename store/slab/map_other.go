//go:build !linux || race

package slab

import "unsafe"

// chunkPages is how many pages the heap asks for at once, unless a block needs more.
const chunkPages = 64

func reserve(n int) unsafe.Pointer {
	return unsafe.Pointer(unsafe.SliceData(make([]uint64, n/8))) // aligned to pages, because of its size
}

func discard([]byte) {}

func populate([]byte) {}
