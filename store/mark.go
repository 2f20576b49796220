package store

import (
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Mark remembers that the last answer to a question was not to be shared, and why. Until a time, requests that ask the
// question do not wait for each other. A mark has the members that the answer would have had as a copy, so an
// invalidation of such a copy ends the mark. A mark is immutable but for its stamp.
type Mark struct {
	Until   time.Time
	Why     policy.Reason
	Members []invalidation.ID
	Stamp   invalidation.Stamp
	// Lasting is set where the answers to requests that go through as the client sent them do not tell whether the next
	// fill brings an answer to be shared. Only a copy ends such a mark.
	Lasting bool
	// Whole is set where the answer came only when the origin was told all preferences of the client.
	Whole bool
}

func (m *Mark) cost() int { return otherOverhead + 8*cap(m.Members) }

// Mark stores a mark under the key of a question, under which no copy is stored.
func (s *Store) Mark(key string, m *Mark) {
	s.marked.Store(true)
	s.memory.Set(key, m)
}

// Marks reports whether Marked may find any mark.
func (s *Store) Marks() bool { return s.marked.Load() }

// Marked is the mark of a question that holds at a time; nil: none does.
func (s *Store) Marked(key string, ledger *invalidation.Ledger, now time.Time) *Mark {
	var m *Mark
	s.memory.peek(key, func(item Item) { m, _ = item.(*Mark) })
	if m == nil || !now.Before(m.Until) || ledger.Check(&m.Stamp, m.Members) != invalidation.Valid {
		return nil
	}
	return m
}

// Unmark removes the mark of a question: an answer to be shared has come.
func (s *Store) Unmark(key string) { s.memory.Delete(key) }
