package store

import (
	"slices"
	"strings"
	"sync/atomic"

	"cacheproxy/invalidation"

	"github.com/cespare/xxhash/v2"
)

// family is what the copies of one folder, or of one route and host, have in common: the beginning of their keys, and members that are not of one copy
// alone. It is stored once, in Go's memory, and each of its copies has its number. It does not change while a copy has its number.
type family struct {
	prefix string
	names  []invalidation.ID // sorted
	uses   atomic.Int64      // how many copies have its number
}

const (
	// maxFamilies is how many families there may be at a time, of a few hundred bytes each. Further copies have no family.
	maxFamilies = 1 << 14
	// maxFolders is how many families there may be before no more are made for folders.
	maxFolders = maxFamilies / 4 * 3
	// familiesAtOnce is for how many families memory is allocated at a time.
	familiesAtOnce = 1 << 8
	// keyHead is how many bytes at the beginning of a key are not searched for slashes: they are the fingerprint, which may have any bytes.
	keyHead = 8
	// mostPrefix is how many bytes of a key are searched for the end of its folder.
	mostPrefix = 1 << 9
	// mostShared is up to how many members a copy may have to share some with its family. Copies with more have all of their own.
	mostShared = 64
	// swept is how many places are checked for an unused family each time that a place is needed.
	swept = 8
	// sightings is about how many folders are remembered for which a single copy has come.
	sightings = 1 << 12
)

// families are numbered from one; zero is none. A goroutine with a reference to a copy may call at for the copy's family. All other methods need the
// lock of the table.
//
// A copy belongs to the family of its folder (the path of its URL up to the last slash) if another copy has come to that folder before, and otherwise
// to the family of its route and host. A family begins with the members of its first copy. When a copy comes that lacks some of them, a new family
// with the others takes its place, so that the first few copies may be of families of their own.
type families struct {
	places   [maxFamilies / familiesAtOnce]atomic.Pointer[[familiesAtOnce]family]
	latest   map[string]uint16 // by prefix
	unused   []uint16
	made     int               // how many places were ever used
	hand     int               // the place that place has looked at last
	sighted  []uint32          // hashes of folders for which one copy has come
	scratch  []invalidation.ID // result of take: the members of a copy that are not of one copy alone
	leftover []invalidation.ID // result of take: the members of a copy that its family lacks
}

// at is the family with a number; nil: of zero.
func (f *families) at(n uint16) *family {
	if n == 0 {
		return nil
	}
	return &f.places[n/familiesAtOnce].Load()[n%familiesAtOnce]
}

// take finds or makes the family of a copy with a key and members, and adds a use; zero: there is none. If shares is set, the copy has all members of
// the family, and own is the others, until the next call of take; otherwise own is all of names.
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

// of is the latest family with a prefix, or a new one: if there is none yet, or if shares is set and the copy lacks some of its members. Zero: no
// family can be made. most is how many places may be used.
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
		return 0 // a family without members, and without a prefix or known members to share, is of no use
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

// place is the number of an unused place for another family; zero: there are as many as there may be.
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

// isKnown reports whether a folder has a family, or should get one because another copy has come to it lately. It remembers the folder.
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

// prefixesOf returns two prefixes of a key: one that all copies of a route and host share whose paths have the same length, and one that all copies of
// a folder share. It relies on the order of fields in policy.Route.AppendKey only for how well families compress: with other keys there would be more
// families, or smaller ones.
func prefixesOf(key string) (host, folder string) {
	if len(key) <= keyHead {
		return "", ""
	}
	path := key[keyHead:min(len(key), mostPrefix)]
	return key[:keyHead+strings.IndexByte(path, '/')+1], key[:keyHead+strings.LastIndexByte(path, '/')+1]
}
