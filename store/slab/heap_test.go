package slab

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func TestClasses(t *testing.T) {
	for n := 1; n <= largest; n++ {
		class := classOf(n)
		if size := sizeOf(class); size < n || size%16 != 0 || class > 0 && sizeOf(class-1) >= n || n > fine && size-n >= n/31+1 {
			t.Fatalf("%d bytes have class %d, of %d bytes", n, class, size)
		}
	}
	if last := sizeOf(classes - 1); last != largest {
		t.Errorf("the last class has %d bytes", last)
	}
	for class := range classes {
		if sizeOf(class)*mostSlots < pageSize {
			continue // no run of them is full; nobody has so small ones
		}
		few, pages := pagesOf(class, 0), pagesOf(class, 1<<20)
		slots := min(pages*pageSize/sizeOf(class), mostSlots)
		if lost := 1 - float64(slots*sizeOf(class))/float64(pages*pageSize); slots < 8 || lost > 0.04 || pages > mostPages {
			t.Errorf("a run of %d bytes has %d pages with %d blocks, and loses %.3f", sizeOf(class), pages, slots, lost)
		}
		if few > max(fewPages, (sizeOf(class)+pageSize-1)/pageSize) || few*pageSize < sizeOf(class) {
			t.Errorf("the first run of %d bytes has %d pages", sizeOf(class), few)
		}
	}
}

// held is a block with what was written to it.
type held struct {
	Block
	mark byte
}

func (b held) bytes() []byte { return unsafe.Slice((*byte)(b.At), b.Size) }

// Whatever is given out and taken back in whatever order, nothing is in two places, and what is counted is what is held.
func TestBlocksAreApart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h Heap
	var all []held
	used := int64(0)
	drop := func(i int) {
		b := all[i]
		for _, got := range b.bytes() {
			if got != b.mark {
				t.Fatalf("a block of %d bytes was written to by another", b.Size)
			}
		}
		used -= int64(b.Size)
		h.Free(b.Ref)
		all = slices.Delete(all, i, i+1)
	}
	for round := range 5_000 {
		n := 1 + r.IntN(1<<(4+r.IntN(14)))
		b, ok := h.Alloc(n)
		if !ok || b.Size < n || b.Size != Rounded(n) || uintptr(b.At)%16 != 0 || h.At(b.Ref) != b.At || b.Ref == 0 {
			t.Fatalf("%d bytes: %+v, %v", n, b, ok)
		}
		one := held{b, byte(round)}
		for i := range one.bytes() {
			one.bytes()[i] = one.mark
		}
		used += int64(b.Size)
		for all = append(all, one); len(all) > 500+r.IntN(500); {
			drop(r.IntN(len(all)))
		}
		if round%500 == 0 {
			if run := h.Sparsest(); run != nowhere { // it is as right to move what is in it
				for b := range h.Blocks(run) {
					drop(slices.IndexFunc(all, func(o held) bool { return o.At == b.At }))
				}
			}
		}
		if h.Used() != used || h.Pages() < used {
			t.Fatalf("%d bytes are used and %d taken, want %d", h.Used(), h.Pages(), used)
		}
	}
	for len(all) > 0 {
		drop(0)
	}
	if h.Used() != 0 || h.Pages() != 0 {
		t.Errorf("%d bytes are used and %d taken in the end", h.Used(), h.Pages())
	}
}

// However thinly what is left is spread, moving it leaves no more than a run of each size that is not full.
func TestSparsestLeavesNoHoles(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var h Heap
	live := map[unsafe.Pointer]Block{}
	for range 20_000 {
		b, _ := h.Alloc(100 + r.IntN(3000))
		live[b.At] = b
	}
	for at, b := range live {
		if r.IntN(10) > 0 {
			h.Free(b.Ref)
			delete(live, at)
		}
	}
	before := h.Pages()
	for run := h.Sparsest(); run != nowhere; run = h.Sparsest() {
		for b := range h.Blocks(run) {
			moved, ok := h.Alloc(b.Size)
			if !ok || moved.Size != b.Size || moved.Ref.run() == run {
				t.Fatalf("%+v is moved to %+v", b, moved)
			}
			delete(live, b.At)
			live[moved.At] = moved
			h.Free(b.Ref)
		}
	}
	slack := int64(0)
	for class := range classes {
		slack += int64(pagesOf(class, 1<<20) * pageSize)
	}
	slack += h.Used() / 25 // what is lost at the ends of runs
	if h.Pages() > h.Used()+slack || before < 2*h.Pages() {
		t.Errorf("%d bytes are taken for %d, and were %d before", h.Pages(), h.Used(), before)
	}
}

func TestOpenAgain(t *testing.T) {
	var h Heap
	var all []Block
	for range 300 {
		b, _ := h.Alloc(2000)
		all = append(all, b)
	}
	for i, b := range all {
		if i%2 == 0 {
			h.Free(b.Ref)
		}
	}
	pages, run := h.Pages(), h.Sparsest()
	if run == nowhere {
		t.Fatal("nothing can be left")
	}
	h.Open(run)
	for range 150 {
		_, _ = h.Alloc(2000)
	}
	if h.Pages() != pages {
		t.Errorf("%d bytes are taken, %d before: a run that was opened again is not used", h.Pages(), pages)
	}
}

func TestFreeTwice(t *testing.T) {
	var h Heap
	a, _ := h.Alloc(100)
	_, _ = h.Alloc(100)
	h.Free(a.Ref)
	defer func() {
		if recover() == nil {
			t.Error("a block is given back twice")
		}
	}()
	h.Free(a.Ref)
}

func BenchmarkAlloc(b *testing.B) {
	var h Heap
	for b.Loop() {
		x, _ := h.Alloc(2800)
		h.Free(x.Ref)
	}
}
