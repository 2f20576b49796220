package store

import (
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Mark remembers that the last answer to a question could not be shared, and why: until Until, requests that ask it do not wait for each other. It has
// the members that a copy of the answer would have, and an invalidation of one of them ends the mark. It is immutable but for its stamp.
type Mark struct {
	Until   time.Time
	Why     policy.Reason
	Members []invalidation.ID
	Stamp   invalidation.Stamp
	// Lasting is set if the answer to a passed request cannot tell whether the answer to a fill could be shared: then only storing a copy ends
	// the mark before Until.
	Lasting bool
	// Whole is set if the answer came only when the origin was told all that the client prefers.
	Whole bool
}

func (m *Mark) cost() int { return otherOverhead + 8*cap(m.Members) }

// Mark stores a mark under the key of a question, under which no copy is.
func (s *Store) Mark(key string, m *Mark) {
	s.marked.Store(true)
	s.memory.Set(key, m)
}

// Marks reports whether a mark was ever stored. If not, callers need not make keys to look for one.
func (s *Store) Marks() bool { return s.marked.Load() }

// Marked returns the mark under a key that is valid at the time now; nil: there is none.
func (s *Store) Marked(key string, ledger *invalidation.Ledger, now time.Time) *Mark {
	var m *Mark
	s.memory.peek(key, func(item Item) { m, _ = item.(*Mark) })
	if m == nil || !now.Before(m.Until) || ledger.Check(&m.Stamp, m.Members) != invalidation.Valid {
		return nil
	}
	return m
}

// Unmark removes the mark under a key.
func (s *Store) Unmark(key string) { s.memory.Delete(key) }
