package store

import (
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Mark remembers that the last answer to a question was not to be shared, and why: until then, those who ask it do not wait for each
// other. It belongs to members as the answer would have as a copy: what makes such a copy unusable ends the mark. It is immutable but
// for its stamp.
type Mark struct {
	Until   time.Time
	Why     policy.Reason
	Members []invalidation.ID
	Stamp   invalidation.Stamp
	// Lasting is set where the answer to a request that is sent through, as its client sent it, does not tell whether the next fill
	// brings one to be shared: only a copy ends the mark then.
	Lasting bool
	// Whole is set where the answer came only when the origin was told all that the client prefers.
	Whole bool
}

func (m *Mark) cost() int { return otherOverhead + 8*cap(m.Members) }

// Mark stores a mark under the key of a question, under which no copy is.
func (s *Store) Mark(key string, m *Mark) {
	s.marked.Store(true)
	s.memory.Set(key, m)
}

// Marks reports whether anything may be marked.
func (s *Store) Marks() bool { return s.marked.Load() }

// Marked is the mark of a question that holds at a time; nil: there is none.
func (s *Store) Marked(key string, ledger *invalidation.Ledger, now time.Time) *Mark {
	var m *Mark
	s.memory.peek(key, func(item Item) { m, _ = item.(*Mark) })
	if m == nil || !now.Before(m.Until) || ledger.Check(&m.Stamp, m.Members) != invalidation.Valid {
		return nil
	}
	return m
}

// Unmark forgets what was marked: an answer has come that is to be shared.
func (s *Store) Unmark(key string) { s.memory.Delete(key) }
