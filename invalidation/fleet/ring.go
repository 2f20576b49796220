package fleet

import (
	"time"

	"cacheproxy/invalidation"
)

// ring holds the latest entries of the log, without gaps. Once push has had least entries in a row, the ring holds at
// least that many.
type ring struct {
	entries []ringEntry
	first   uint64 // Seq of entries[0]
}

type ringEntry struct {
	record invalidation.Record
	at     time.Time // of the application
}

// push adds an entry. An entry that does not follow the latest one begins the ring anew.
func (r *ring) push(record invalidation.Record, least int, now time.Time) {
	switch {
	case len(r.entries) == 0 || record.Seq != r.next():
		r.entries, r.first = nil, record.Seq
	case len(r.entries) == 2*least:
		r.first += uint64(least)
		r.entries = append(make([]ringEntry, 0, 2*least), r.entries[least:]...)
	}
	r.entries = append(r.entries, ringEntry{record, now})
}

// next returns the Seq after the latest entry.
func (r *ring) next() uint64 { return r.first + uint64(len(r.entries)) }

// at returns the entry with a Seq; ok is false where the ring does not hold the entry.
func (r *ring) at(seq uint64) (e ringEntry, ok bool) {
	if seq < r.first || seq >= r.next() {
		return ringEntry{}, false
	}
	return r.entries[seq-r.first], true
}

// cut removes the entries after seq, which the ring must hold, and returns them.
func (r *ring) cut(seq uint64) []ringEntry {
	keep := seq + 1 - r.first
	lost := r.entries[keep:]
	r.entries = r.entries[:keep:keep]
	return lost
}
