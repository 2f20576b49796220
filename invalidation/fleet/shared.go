package fleet

import (
	"encoding/binary"
	"slices"

	"cacheproxy/invalidation"
)

// History names one life of a shared log: a log that lost its past begins another. Its last four bytes are the term, which names
// the server that keeps the log. The zero History is none.
//
// With every server that takes over, entries of the one before may be lost, and others may come to stand in their places. So
// a position counts only up to where the next term began.
type History [16]byte

const termBytes = 4

// split tells a history from its term.
func (h History) split() (base History, term uint32) {
	term = binary.BigEndian.Uint32(h[len(h)-termBytes:])
	clear(h[len(h)-termBytes:])
	return h, term
}

// in is the history in a term.
func (h History) in(term uint32) History {
	binary.BigEndian.PutUint32(h[len(h)-termBytes:], term)
	return h
}

// NewHistory makes a history of random bytes.
func NewHistory(random [16]byte) History {
	base, _ := History(random).split()
	return base
}

// Term is one server's time as keeper of a log. It is named by chance, not counted: a server may lose also what term it is in.
type Term struct {
	Name  uint32
	Start uint64 // Seq of the last entry of the term before
}

// allows reports whether a position of a term is one that the log still has. Terms are in their order. Where servers do not
// tell who they are there are none, and all positions count as of term zero.
func allows(terms []Term, name uint32, seq uint64) bool {
	for _, t := range slices.Backward(terms) {
		if t.Name == name {
			return true
		}
		if seq > t.Start {
			return false
		}
	}
	return len(terms) == 0 && name == 0
}

// Shared is a position in a log that several instances follow, as they tell it each other. A Token is a position of this
// process alone: it counts also what was only ever applied here, and goes on where a shared log has lost its end.
type Shared struct {
	History History
	Seq     uint64 // of the entry; zero precedes every entry
	Nonce   uint64 // of the entry: after a failover there may be another one at its place
}

// Chart translates positions between this process and the log that it shares with others. It is safe for concurrent use.
type Chart interface {
	// Share says which position of the shared log a token stands for: that of the last entry at or before it. ok is false
	// while there is no shared log, or none that reaches back as far.
	Share(t invalidation.Token) (s Shared, ok bool)
	// Adopt says what token a position of the shared log stands for. ok is false for positions that cannot be vouched for: of
	// another history, not applied here yet, or of an entry that is not in the log any more.
	Adopt(s Shared) (t invalidation.Token, ok bool)
}
