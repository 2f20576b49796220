package fleet

import (
	"encoding/binary"
	"slices"

	"cacheproxy/invalidation"
)

// History names one life of a log: a log that lost its past begins another History. The last four bytes are the term,
// which names the server that keeps the log. The zero History means no log.
type History [16]byte

const termBytes = 4

// split separates a history from its term.
func (h History) split() (base History, term uint32) {
	term = binary.BigEndian.Uint32(h[len(h)-termBytes:])
	clear(h[len(h)-termBytes:])
	return h, term
}

// in returns the history in a term.
func (h History) in(term uint32) History {
	binary.BigEndian.PutUint32(h[len(h)-termBytes:], term)
	return h
}

// NewHistory makes a history of random bytes.
func NewHistory(random [16]byte) History {
	base, _ := History(random).split()
	return base
}

// Term is one server's time as keeper of a log. Unlike a term of Raft, a Term has a name and no count. A server that
// loses the end of the log may lose the count too, and would then count the same term twice.
type Term struct {
	Name  uint32
	Start uint64 // of the last entry of the term before
}

// allows reports whether the log still holds an entry that was at seq in the term of that name. When another server
// takes over, entries of the former server may be lost, and other entries may take their places. So a position counts
// only up to the start of the next term. terms must be in their order.
func allows(terms []Term, name uint32, seq uint64) bool {
	for _, t := range slices.Backward(terms) {
		if t.Name == name {
			return true
		}
		if seq > t.Start {
			return false
		}
	}
	return false
}

// LogPosition is a position in the log, in the form in which instances tell each other. The zero LogPosition means no
// position.
type LogPosition struct {
	History History // with its term
	Seq     uint64  // of an entry; zero precedes every entry
	Nonce   uint64  // of that entry: after a failover another entry may have its place
}

// Positions translates between positions of this process (invalidation.Token) and positions in the log. Tokens also
// count entries that only this instance has applied, and go on growing where the log has lost its end. Positions is
// safe for concurrent use.
type Positions interface {
	// ToLog returns the position in the log that a token stands for: the position of the last entry at or before the
	// token. ok is false while no log is followed, or where the ring has forgotten that entry.
	ToLog(t invalidation.Token) (at LogPosition, ok bool)
	// FromLog returns the token that a position in the log stands for. ok is false for positions that cannot be
	// vouched for: a position of another history, or of an entry that is not applied here yet, or of an entry that is
	// not in the log any more.
	FromLog(at LogPosition) (t invalidation.Token, ok bool)
}
