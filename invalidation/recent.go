package invalidation

import (
	"slices"
	"sync/atomic"
)

// recentMarks is how many of the last marks are kept in their order, in 16 bytes each. It is a power of two.
const recentMarks = 1 << 13

// fewMembers is up to how many members each is looked up, whatever was marked.
const fewMembers = 64

// recent is the last marks in the order in which they were set. A copy with thousands of members that is asked about at every read would
// have all of them looked up again after each entry that names one of their kinds; with this, what the entries have named is looked up
// in the copy, as long as that is less. Apply is its only writer; anybody reads.
//
// The writer may overwrite slots while a reader looks. It does so in their order, the oldest first, and what it writes has a later position.
// A reader goes back from the newest, and is done at the first slot with an earlier position than it asks about: that one is not
// overwritten yet, so none that the reader has read after it is. A reader that comes upon no such slot knows nothing.
type recent struct {
	done  atomic.Uint64 // marks of all entries that were noted in full
	last  uint64        // position that was noted last; only note touches it
	slots [recentMarks]struct{ position, id atomic.Uint64 }
}

// note adds the marks of an entry.
func (r *recent) note(position uint64, ids []ID) {
	n := r.done.Load()
	r.last = max(r.last, position) // positions rise; were one not to, its mark would be looked up too often, and not too rarely
	for _, id := range ids {
		slot := &r.slots[n%recentMarks]
		slot.position.Store(r.last)
		slot.id.Store(uint64(id))
		n++
	}
	r.done.Store(n)
}

// since appends to found those of ids, which are sorted, that entries from a position on have named: that of the position too, since a fence
// can be opened at one which the ledger has reached already, when an instance takes over how things stand. ok is false where that cannot
// be told, or not with less effort than to look up each of ids.
func (r *recent) since(position uint64, ids []ID, found []ID) (_ []ID, ok bool) {
	at := r.done.Load()
	for range min(at, uint64(min(len(ids), recentMarks))) {
		at--
		slot := &r.slots[at%recentMarks]
		if slot.position.Load() < position {
			return found, true // positions rise: nothing before it is later
		}
		if id := ID(slot.id.Load()); contains(ids, id) {
			found = append(found, id)
		}
	}
	return found, false
}

func contains(sorted []ID, id ID) bool {
	_, found := slices.BinarySearch(sorted, id)
	return found
}
