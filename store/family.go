package store

import (
	"slices"
	"strings"
	"sync/atomic"

	"cacheproxy/invalidation"

	"github.com/cespare/xxhash/v2"
)

// family has the parts that the copies of one place have in common: the beginning of their keys, and those of their
// names whose kind many copies have (ID.OfMany). A family stands once in Go's memory, and each of its copies says its
// number. A family never changes while a copy uses it.
type family struct {
	prefix string
	names  []invalidation.ID // sorted
	uses   atomic.Int64      // copies that say its number
}

const (
	// maxFamilies bounds how many families there may be at a time, of a few hundred bytes each. Beyond the bound, a
	// copy stores its whole key and all names itself.
	maxFamilies = 1 << 14
	// maxFolders is the number of families up to which a folder still gets a new one.
	maxFolders = maxFamilies / 4 * 3
	// familiesAtOnce is how many places are made at a time.
	familiesAtOnce = 1 << 8
	// keyHead is how many bytes at the beginning of a key prefixesOf skips: they are a number, in which any byte may
	// occur.
	keyHead = 8
	// mostPrefix bounds how far into a key a folder may end, in bytes.
	mostPrefix = 1 << 9
	// mostShared is the largest number of names of a copy that shares names with its family. A copy with more stores
	// all of them.
	mostShared = 64
	// swept is how many places are looked at for an unused family whenever a place is needed.
	swept = 8
	// sightings is about how many folders are remembered in which a copy was stored.
	sightings = 1 << 12
)

// families has all families of a room, numbered from one; zero is none. A goroutine with a reference to a copy may ask
// for the copy's family (at). All else is for the goroutine that holds the lock of the table.
//
// The folder of a copy is the path of its URL up to the last slash. From the second copy of a folder on, copies belong
// to the family of the folder: a copy alone in its folder has nothing in common with others. Other copies belong to the
// family of their route and host. A family begins with the names of its first copy. When a copy comes that lacks some
// of them, a family with fewer names replaces the old one for later copies. So the first few copies may belong to
// families of their own.
type families struct {
	places   [maxFamilies / familiesAtOnce]atomic.Pointer[[familiesAtOnce]family]
	latest   map[string]uint16 // by prefix
	unused   []uint16
	made     int // places that were ever filled
	hand     int // the place that is looked at next
	sighted  []uint32
	scratch  []invalidation.ID // the names of a copy whose kind many copies have
	leftover []invalidation.ID // the names of a copy that its family lacks
}

// at is the family of a number; nil for zero.
func (f *families) at(n uint16) *family {
	if n == 0 {
		return nil
	}
	return &f.places[n/familiesAtOnce].Load()[n%familiesAtOnce]
}

// take finds the family of a copy with a key and names, and adds a use. n is zero where the copy gets no family. If the
// copy shares the names of the family, own has the other names, until the next call of take.
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

// of is the latest family with a prefix. If the copy is to share names (shares) and lacks some of that family's, of
// makes a family of the common names and returns that. Zero: the prefix has no family, and none can be made or would be
// worth making.
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
		return 0 // the family would have nothing in common
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

// place is a free place for a family; zero: most families are in use.
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

// give ends a use. Zero stands for no family.
func (f *families) give(n uint16) {
	if n != 0 {
		f.at(n).uses.Add(-1)
	}
}

// isKnown reports whether a folder has a family, or should get one because another copy of the folder was stored
// lately.
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

// prefixesOf returns two beginnings of a key: one that all keys of its route and host with paths of one length share,
// and one that all keys of its folder share. Keys of another form get prefixes as well; their families are then more,
// or smaller.
func prefixesOf(key string) (host, folder string) {
	if len(key) <= keyHead {
		return "", ""
	}
	path := key[keyHead:min(len(key), mostPrefix)]
	return key[:keyHead+strings.IndexByte(path, '/')+1], key[:keyHead+strings.LastIndexByte(path, '/')+1]
}
