package invalidation

import "sync/atomic"

// Token is a position of the ledger, taken before a request goes to the origin (R1). The origin's answer to that
// request reflects at least every change whose invalidation is at or before the token. The zero Token precedes every
// entry.
type Token struct{ position uint64 }

// TokenAt returns the token at a position of the ledger, for a feeder of the ledger whose log counts in its own way.
func TokenAt(position uint64) Token { return Token{position} }

// Position returns the token as a number, for logs and explanations.
func (t Token) Position() uint64 { return t.position }

// Before reports whether t was taken before u.
func (t Token) Before(u Token) bool { return t.position < u.position }

// Stamp is the token of a stored copy, with the position up to which the copy is known to be valid. A Stamp is safe
// for concurrent use and must not be copied.
type Stamp struct {
	token Token
	// checked only grows. Any number of requests write checked at once, each a position up to which Ledger.Check
	// found the copy valid.
	checked atomic.Uint64
}

// Set initialises the stamp. Set must be called before the copy is published; token never changes afterwards.
func (s *Stamp) Set(t Token) {
	s.token = t
	s.checked.Store(t.position)
}

// Token returns the token that Set was given.
func (s *Stamp) Token() Token { return s.token }

// Checked returns the latest position up to which the copy is known to be valid. A verdict from Checked is the same
// as a verdict from the token, and is possible also where the token is below the floor.
func (s *Stamp) Checked() Token { return Token{s.checked.Load()} }

// confirm notes that the copy is valid up to position.
func (s *Stamp) confirm(position uint64) {
	for {
		seen := s.checked.Load()
		if seen >= position || s.checked.CompareAndSwap(seen, position) {
			return
		}
	}
}

// Verdict is the ledger's judgement of a copy.
type Verdict uint8

const (
	// Valid: no member of the copy was invalidated since its token. The zero value.
	Valid Verdict = iota
	// Soft: a soft purge has made the copy stale. The copy may be revalidated, and may be served where stale copies
	// may.
	Soft
	// Unconfirmed: the copy may have changed, and nobody knows whether the copy has. The origin has to confirm the
	// copy before the copy is used. Where the origin fails, the copy may stand in if stale copies may.
	Unconfirmed
	// Fenced: a write to a member is under way, and the copy must not be used.
	Fenced
	// Purged: the copy must not be used for anything, not even to answer a 304 (R11).
	Purged
)

// String names the verdict for explanations.
func (v Verdict) String() string {
	return [...]string{"valid", "soft-purged", "unconfirmed", "fenced", "purged"}[v]
}
