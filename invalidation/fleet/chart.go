package fleet

import (
	"time"

	"cacheproxy/invalidation"
)

// segment says where the entries of the shared log stand in the ledger: Seq plus offset, from first on. Positions of the
// ledger only grow. Where the log loses its end, or something is applied that is not in it, another segment begins.
type segment struct {
	first  uint64 // Seq
	offset uint64
}

// maxSegments bounds how often the log may have lost its end without older copies becoming unusable.
const maxSegments = 256

// shift begins a segment with the entry after the last one applied. The caller holds mu.
func (f *Follower) shift() {
	s := segment{first: f.applied + 1, offset: f.position - f.applied}
	for n := len(f.segments); n > 0 && f.segments[n-1].first >= s.first; n = len(f.segments) {
		f.segments = f.segments[:n-1]
	}
	if f.segments = append(f.segments, s); len(f.segments) > maxSegments {
		f.segments = append(f.segments[:0], f.segments[1:]...)
	}
}

// Share implements Chart.
func (f *Follower) Share(t invalidation.Token) (Shared, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	last := f.applied
	for i := len(f.segments) - 1; i >= 0; i-- {
		s := f.segments[i]
		if t.Position() >= s.first+s.offset {
			return f.place(min(t.Position()-s.offset, last))
		}
		last = s.first - 1 // wraps around only below the first segment, where the loop ends
	}
	return Shared{}, false
}

// term is the latest that is known; zero: none. The caller holds mu.
func (f *Follower) term() uint32 {
	if n := len(f.terms); n > 0 {
		return f.terms[n-1].Name
	}
	return 0
}

// place is an entry of the log that this follower remembers. The caller holds mu.
func (f *Follower) place(seq uint64) (Shared, bool) {
	s := Shared{History: f.history.in(f.term()), Seq: seq}
	if seq == 0 {
		return s, true
	}
	e, ok := f.ring.at(seq)
	s.Nonce = e.record.Nonce
	return s, ok
}

// Adopt implements Chart.
func (f *Follower) Adopt(s Shared) (invalidation.Token, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	base, term := s.History.split()
	if base != f.history || base == (History{}) || s.Seq > f.applied || !allows(f.terms, term, s.Seq) {
		return invalidation.Token{}, false
	}
	if e, ok := f.ring.at(s.Seq); ok && e.record.Nonce != s.Nonce {
		return invalidation.Token{}, false // stamped in a part of the log that was lost
	}
	for i := len(f.segments) - 1; i >= 0; i-- {
		if g := f.segments[i]; s.Seq >= g.first {
			return invalidation.TokenAt(s.Seq + g.offset), true
		}
	}
	return invalidation.Token{}, false
}

// ring holds the latest entries of the log, without gaps: at least ringSize once there were as many.
type ring struct {
	entries []ringEntry
	first   uint64 // Seq of entries[0]
}

type ringEntry struct {
	record invalidation.Record
	at     time.Time // when it was applied
}

// push adds the entry that follows the latest, or begins anew with it.
func (r *ring) push(record invalidation.Record, now time.Time) {
	switch {
	case len(r.entries) == 0 || record.Seq != r.next():
		r.entries, r.first = nil, record.Seq
	case len(r.entries) == 2*ringSize:
		r.first += ringSize
		r.entries = append(make([]ringEntry, 0, 2*ringSize), r.entries[ringSize:]...)
	}
	r.entries = append(r.entries, ringEntry{record, now})
}

// next is the Seq after the latest.
func (r *ring) next() uint64 { return r.first + uint64(len(r.entries)) }

// at is the entry at a place; ok is false where it is not remembered.
func (r *ring) at(seq uint64) (ringEntry, bool) {
	if seq < r.first || seq >= r.next() {
		return ringEntry{}, false
	}
	return r.entries[seq-r.first], true
}

// cut takes off what follows seq, which must be remembered, and returns it.
func (r *ring) cut(seq uint64) []ringEntry {
	keep := seq + 1 - r.first
	lost := r.entries[keep:]
	r.entries = r.entries[:keep:keep]
	return lost
}
