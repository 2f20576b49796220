package invalidation

import (
	"math/bits"
	"sync/atomic"
)

// Sizes of Seen. With so many bits for each name, and as many of them set for it, about one name in a hundred is taken for seen though it
// is not: a generation that is full adds to that of the one before.
const (
	seenNames = 1 << 20 // of one generation
	seenWords = seenNames / 64 * 10
	seenBits  = 7
)

// Seen remembers which names copies have carried lately: the last one to two million different ones, in two Bloom filters of 1.25 MiB, of
// which the older one is forgotten when the other is full. It is a hint for people, and decides nothing. The zero value has seen nothing.
// It is safe for concurrent use, and takes no lock.
type Seen struct{ generations atomic.Pointer[generations] }

// generations are two filters, of which only the present one is added to. Who adds to one that has just become the former one is
// still heard.
type generations struct{ present, former *filter }

type filter struct {
	words [seenWords]atomic.Uint64
	names atomic.Int64
}

// Add notes what a copy carries. Names that every copy has, or that need not be told apart, are left out.
func (s *Seen) Add(ids []ID) {
	g := s.generations.Load()
	if g == nil {
		s.generations.CompareAndSwap(nil, &generations{present: new(filter)})
		g = s.generations.Load()
	}
	for _, id := range ids {
		switch id.kind() {
		case 3, 4, 6, 7, 8: // keys, tags, URLs, paths, prefixes: see kindIndex
			if g.present.add(id) && g.present.names.Add(1) >= seenNames {
				s.generations.CompareAndSwap(g, &generations{present: new(filter), former: g.present})
				g = s.generations.Load()
			}
		}
	}
}

// Has reports whether a name was added lately. It may say so of one that was not.
func (s *Seen) Has(id ID) bool {
	g := s.generations.Load()
	return g != nil && (g.present.has(id) || g.former != nil && g.former.has(id))
}

// add sets the bits of a name, and reports whether one was not set.
func (f *filter) add(id ID) (isNew bool) {
	for i := range seenBits {
		word, bit := place(id, i)
		if f.words[word].Load()&bit == 0 {
			f.words[word].Or(bit)
			isNew = true
		}
	}
	return isNew
}

func (f *filter) has(id ID) bool {
	for i := range seenBits {
		if word, bit := place(id, i); f.words[word].Load()&bit == 0 {
			return false
		}
	}
	return true
}

// place is where the bit of a name is that has a number. All of a name are in one line of the processor's cache: to fetch seven cost more than
// all else that is done here.
func place(id ID, number int) (word int, bit uint64) {
	// The kind in the upper bits is of few values: the multiplication spreads it.
	high, low := bits.Mul64(uint64(id)^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	line, _ := bits.Mul64((high^low)*0x9e3779b97f4a7c15, seenWords/lineWords)
	at := (low ^ low>>32) * 0xff51afd7ed558ccd >> (9 * number) % (lineWords * 64) // nine bits of it for each
	return int(line)*lineWords + int(at/64), 1 << (at % 64)
}

// lineWords is how many words a line of the cache has.
const lineWords = 8
