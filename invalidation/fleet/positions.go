package fleet

import (
	"time"

	"cacheproxy/invalidation"
)

// positions says how far this instance has applied the log, and where the entries of the log stand in the ledger.
//
// Follower.mu guards all fields. The goroutine that follows the log writes them, and ApplyLocally moves the ledger's
// position. The goroutines that serve requests translate tokens.
type positions struct {
	history  History // without its term; zero: no log was followed yet
	terms    []Term  // of the log, in their order; replaced as a whole
	applied  uint64  // Seq of the last entry applied
	nonce    uint64  // of that entry
	local    uint64  // position of the ledger
	segments []segment
	ring     ring
	keep     int // how many entries the ring holds at least; never changes
}

// segment says where the entries of the log stand in the ledger from one Seq on: at Seq plus offset. Positions of the
// ledger only grow, also where the log has lost its end and counts again from a lower Seq, and where an entry is
// applied that is not in the log. Either event begins another segment.
type segment struct {
	first  uint64 // Seq
	offset uint64
}

// maxSegments bounds the segments that are kept. Beyond maxSegments the oldest segment is forgotten: positions in
// that segment cannot be translated any more, and copies from there are not shared.
const maxSegments = 256

// advance notes that an entry of the log has been applied, at a position of the ledger.
func (p *positions) advance(r invalidation.Record, position uint64, now time.Time) {
	p.local, p.applied, p.nonce = position, r.Seq, r.Nonce
	p.ring.push(r, p.keep, now)
}

// offset returns the offset of the entries to come.
func (p *positions) offset() uint64 { return p.segments[len(p.segments)-1].offset }

// beginSegment begins a segment with the entry after the last one applied.
func (p *positions) beginSegment() {
	s := segment{first: p.applied + 1, offset: p.local - p.applied}
	for n := len(p.segments); n > 0 && p.segments[n-1].first >= s.first; n = len(p.segments) {
		p.segments = p.segments[:n-1]
	}
	if p.segments = append(p.segments, s); len(p.segments) > maxSegments {
		p.segments = append(p.segments[:0], p.segments[1:]...)
	}
}

// enter begins to follow another log. The ledger keeps its position.
func (p *positions) enter(h History) {
	*p = positions{history: h, local: p.local, keep: p.keep, segments: []segment{{first: 0, offset: p.local}}}
}

// rewind goes back to an entry that the ring holds, after which the log is applied anew, and returns the entries
// after it. The ledger stays at its position: the entries that the ledger has applied stay applied.
func (p *positions) rewind(to Place) (lost []ringEntry) {
	lost = p.ring.cut(to.Seq)
	p.applied, p.nonce = to.Seq, to.Nonce
	p.beginSegment()
	return lost
}

// term returns the name of the latest term; zero: none is known.
func (p *positions) term() uint32 {
	if n := len(p.terms); n > 0 {
		return p.terms[n-1].Name
	}
	return 0
}

// toLog implements Positions.ToLog. A token may stand beyond the last entry of its segment, where only this instance
// has applied more. Such a token stands for that last entry, since a lower position is always safe.
func (p *positions) toLog(t invalidation.Token) (LogPosition, bool) {
	last := p.applied
	for i := len(p.segments) - 1; i >= 0; i-- {
		s := p.segments[i]
		if t.Position() >= s.first+s.offset {
			return p.inRing(min(t.Position()-s.offset, last))
		}
		last = s.first - 1 // wraps around only below the first segment, where the loop ends
	}
	return LogPosition{}, false
}

// inRing returns the position of an entry, if the ring still holds the entry: without the nonce of the entry no other
// instance could vouch for the position.
func (p *positions) inRing(seq uint64) (LogPosition, bool) {
	at := LogPosition{History: p.history.in(p.term()), Seq: seq}
	if seq == 0 {
		return at, true
	}
	e, ok := p.ring.at(seq)
	at.Nonce = e.record.Nonce
	return at, ok
}

// fromLog implements Positions.FromLog (R3). A position in another history, beyond the entries applied here, or in a
// part of the log that was lost says nothing of the marks in this ledger: a copy with such a position might have
// missed an invalidation that this ledger holds at a lower position.
func (p *positions) fromLog(at LogPosition) (invalidation.Token, bool) {
	base, term := at.History.split()
	if base != p.history || base == (History{}) || at.Seq > p.applied || !allows(p.terms, term, at.Seq) {
		return invalidation.Token{}, false
	}
	if e, ok := p.ring.at(at.Seq); ok && e.record.Nonce != at.Nonce {
		return invalidation.Token{}, false // that entry was lost, and another has taken its place
	}
	for i := len(p.segments) - 1; i >= 0; i-- {
		if s := p.segments[i]; at.Seq >= s.first {
			return invalidation.TokenAt(at.Seq + s.offset), true
		}
	}
	return invalidation.Token{}, false
}
