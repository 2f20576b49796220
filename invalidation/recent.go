package invalidation

import (
	"slices"
	"sync/atomic"
)

// recentMarks is the number of latest marks that recent keeps in their order, in 16 bytes each. It is a power of two.
const recentMarks = 1 << 13

// fewMembers is the number of members up to which Ledger.scan looks up each member and does not ask recent.
const fewMembers = 64

// recent holds the last marks in the order in which they were set. Without recent, every read of a copy with
// thousands of members would look up all members again after each entry that names one of their kinds. With recent,
// the reader looks up the members that the entries have named in the copy, as long as these are fewer. Apply is the
// only writer; any goroutine may read.
//
// The writer may overwrite slots while a reader looks. The writer overwrites the oldest slot first, always with a
// later position. A reader goes back from the newest slot, and is done at the first slot with an earlier position
// than the reader asks about. That slot is not overwritten yet, so the slots that the reader has read before are not
// overwritten either. A reader that finds no such slot knows nothing.
type recent struct {
	done  atomic.Uint64 // marks of all entries that were noted in full
	last  uint64        // position that was noted last; only note touches it
	slots [recentMarks]struct{ position, id atomic.Uint64 }
}

// note adds the marks of an entry.
func (r *recent) note(position uint64, ids []ID) {
	n := r.done.Load()
	r.last = max(r.last, position) // a lower position would only have its mark looked up too often
	for _, id := range ids {
		slot := &r.slots[n%recentMarks]
		slot.position.Store(r.last)
		slot.id.Store(uint64(id))
		n++
	}
	r.done.Store(n)
}

// since appends to found the elements of ids that an entry at or after position has named. ids must be sorted. since
// includes the entry at position itself, because an instance that installs a snapshot can open a fence at a position
// that the ledger has reached already. ok is false where recent cannot tell, or not with less effort than looking up
// each of ids.
func (r *recent) since(position uint64, ids []ID, found []ID) (_ []ID, ok bool) {
	at := r.done.Load()
	for range min(at, uint64(min(len(ids), recentMarks))) {
		at--
		slot := &r.slots[at%recentMarks]
		if slot.position.Load() < position {
			return found, true // positions rise: earlier slots are not later
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
