package store

import (
	"slices"
	"strings"
	"sync/atomic"

	"cacheproxy/invalidation"

	"github.com/cespare/xxhash/v2"
)

// family is what the copies of one place have in common: how their keys begin, and the names of theirs that are of no copy alone. It stands
// once in Go's memory, and each of its copies says its number. It never changes as long as one does.
type family struct {
	prefix string
	names  []invalidation.ID // sorted
	uses   atomic.Int64      // copies that say its number
}

const (
	// maxFamilies is how many there may be at a time, a few hundred bytes each. A copy of one more has all of its own.
	maxFamilies = 1 << 14
	// maxFolders is up to how many of them more are made for folders.
	maxFolders = maxFamilies / 4 * 3
	// familiesAtOnce is how many places are made when there are too few.
	familiesAtOnce = 1 << 8
	// keyHead is how many bytes of a key are looked past for where the path begins: those are a number, in which any byte may be.
	keyHead = 8
	// mostPrefix bounds how far into a key a folder may end.
	mostPrefix = 1 << 9
	// mostShared is up to how many names a copy has some of them with its family. More are looked up where they are.
	mostShared = 64
	// swept is how many places are looked at for one that nobody uses any more, for each that is filled.
	swept = 8
	// sightings is how many folders are remembered that a copy has come to, about.
	sightings = 1 << 12
)

// families are numbered from one; zero is none. Whoever has a copy may ask for its family. All else is for the one who holds the lock of
// the table.
//
// A copy is of the family of its folder, the path of its URL up to the last slash, from the second copy on that comes to that folder: what is
// alone there has nothing in common with others. Else it is of the family of all copies of its route and host. A family begins with the names of its first copy,
// and gives way to one with fewer when a copy comes that does not have them all. So the first few may be of families of their own.
type families struct {
	places   [maxFamilies / familiesAtOnce]atomic.Pointer[[familiesAtOnce]family]
	latest   map[string]uint16 // by prefix
	unused   []uint16
	made     int // places that were ever filled
	hand     int // which is looked at next
	sighted  []uint32
	scratch  []invalidation.ID // the names of a copy that are of no copy alone
	leftover []invalidation.ID // those that its family does not have
}

// at is the family of a number that a copy says; nil: none.
func (f *families) at(n uint16) *family {
	if n == 0 {
		return nil
	}
	return &f.places[n/familiesAtOnce].Load()[n%familiesAtOnce]
}

// take finds the family of a copy with a key and names, and adds a use; zero: it has none. Where the copy shares the names of the family, own is
// the others, until take is called again.
func (f *families) take(key string, names []invalidation.ID) (n uint16, own []invalidation.ID, shares bool) {
	few := len(names) <= mostShared
	f.scratch = f.scratch[:0]
	for _, id := range names {
		if few && id.OfMany() {
			f.scratch = append(f.scratch, id)
		}
	}
	host, folder := prefixesOf(key)
	if f.isKnown(folder) {
		n = f.of(folder, few, maxFolders)
	}
	if n == 0 {
		n = f.of(host, few, maxFamilies-1)
	}
	if n == 0 {
		return 0, names, false
	}
	took := f.at(n)
	took.uses.Add(1)
	if !few || len(took.names) == 0 {
		return n, names, false
	}
	f.leftover = f.leftover[:0]
	shared := took.names
	for _, id := range names {
		if len(shared) > 0 && shared[0] == id {
			shared = shared[1:]
			continue
		}
		f.leftover = append(f.leftover, id)
	}
	return n, f.leftover, true
}

// of is the latest family with a prefix, or one that takes its place because the copy, which is to share its names, does not have all of
// them; zero: there is none, and no room.
func (f *families) of(prefix string, shares bool, most int) uint16 {
	n, known := f.latest[prefix]
	names := f.scratch
	if known && !shares {
		return n
	} else if known {
		old := f.at(n).names
		lacks := func(id invalidation.ID) bool {
			_, has := slices.BinarySearch(f.scratch, id)
			return !has
		}
		if !slices.ContainsFunc(old, lacks) {
			return n
		}
		names = slices.DeleteFunc(slices.Clone(old), lacks)
	} else if !shares || prefix == "" && len(names) == 0 {
		return 0 // it would be one without names
	}
	if n = f.place(most); n == 0 {
		return 0
	}
	made := f.at(n)
	made.prefix, made.names = strings.Clone(prefix), slices.Clone(names)
	if f.latest == nil {
		f.latest = map[string]uint16{}
	}
	f.latest[made.prefix] = n
	return n
}

// place is one for another family; zero: there are as many as there may be.
func (f *families) place(most int) uint16 {
	for range min(swept, f.made) {
		f.hand = f.hand%f.made + 1
		old := f.at(uint16(f.hand))
		if old.uses.Load() > 0 || old.prefix == "" && old.names == nil {
			continue
		}
		if f.latest[old.prefix] == uint16(f.hand) {
			delete(f.latest, old.prefix)
		}
		old.prefix, old.names = "", nil
		f.unused = append(f.unused, uint16(f.hand))
	}
	if last := len(f.unused) - 1; last >= 0 && f.made-last <= most {
		n := f.unused[last]
		f.unused = f.unused[:last]
		return n
	}
	if f.made >= most {
		return 0
	}
	f.made++
	if f.made%familiesAtOnce == 0 || f.made == 1 {
		f.places[f.made/familiesAtOnce].Store(new([familiesAtOnce]family))
	}
	return uint16(f.made)
}

// give ends a use.
func (f *families) give(n uint16) {
	if n != 0 {
		f.at(n).uses.Add(-1)
	}
}

// isKnown reports whether a folder has a family, or should have one: a copy has come to it lately.
func (f *families) isKnown(folder string) bool {
	if folder == "" {
		return false
	}
	if _, known := f.latest[folder]; known {
		return true
	}
	if f.sighted == nil {
		f.sighted = make([]uint32, sightings)
	}
	h := xxhash.Sum64String(folder)
	at := &f.sighted[h%sightings]
	if *at == uint32(h>>32) {
		return true
	}
	*at = uint32(h >> 32)
	return false
}

// prefixesOf is how the keys begin of all copies of a route and host whose paths are of one length, and how those of one folder of it do. Where
// a key is made otherwise, both are found as well, and there are more families, or smaller ones.
func prefixesOf(key string) (host, folder string) {
	if len(key) <= keyHead {
		return "", ""
	}
	path := key[keyHead:min(len(key), mostPrefix)]
	return key[:keyHead+strings.IndexByte(path, '/')+1], key[:keyHead+strings.LastIndexByte(path, '/')+1]
}
