package invalidation

import (
	"math/bits"
	"sync/atomic"
)

// Sizes of Seen. Seen has ten bits for each name and sets seven of them, so about one name in a hundred is taken for
// seen although the name was never added. The false positives of the former generation, which is full, come on top of
// those of the present one.
const (
	seenNames = 1 << 20 // of one generation
	seenWords = seenNames / 64 * 10
	seenBits  = 7
)

// Seen remembers which names copies have carried lately: the last one to two million different names, in two Bloom
// filters of 1.25 MiB. The older filter is forgotten when the other is full. Seen is a hint for people and decides
// nothing. The zero value has seen nothing. A Seen is safe for concurrent use, and takes no lock.
type Seen struct{ generations atomic.Pointer[generations] }

// generations are two filters, of which Add fills only the present one. A goroutine that still adds to a filter which
// has just become the former one loses nothing: Has reads both.
type generations struct{ present, former *filter }

type filter struct {
	words [seenWords]atomic.Uint64
	names atomic.Int64
}

// Add notes the names that a copy carries. Add leaves out kinds that every copy has, or that nobody needs to tell
// apart.
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

// Has reports whether a name was added lately. Has may answer true for a name that was not added.
func (s *Seen) Has(id ID) bool {
	g := s.generations.Load()
	return g != nil && (g.present.has(id) || g.former != nil && g.former.has(id))
}

// add sets the bits of a name, and reports whether one of the bits was not set before.
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

// place returns the word and the bit that represent one of a name's seven numbers. All bits of a name are in one line
// of the processor's cache, because fetching seven lines costs more than all other work of Add and Has.
func place(id ID, number int) (word int, bit uint64) {
	// The kind in the upper bits has few values: the multiplication spreads them.
	high, low := bits.Mul64(uint64(id)^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	line, _ := bits.Mul64((high^low)*0x9e3779b97f4a7c15, seenWords/lineWords)
	at := (low ^ low>>32) * 0xff51afd7ed558ccd >> (9 * number) % (lineWords * 64) // nine bits of low for each number
	return int(line)*lineWords + int(at/64), 1 << (at % 64)
}

// lineWords is the number of words in a cache line.
const lineWords = 8
