package store

import (
	"context"
	"errors"
)

// Rewarm begins a round in which the copies in memory are written to the tiers below, because a tier may have lost its
// items. Each copy is written when it is next read. So the most-read copies come first, and a copy that is never read
// is never written.
func (s *Store) Rewarm() { s.round.Add(1) }

// Lacks reports whether the tiers below memory may lack a copy that was just read. Lacks reports true once in each
// round, and otherwise costs two atomic loads.
func (s *Store) Lacks(c *Copy) bool {
	round := s.round.Load() << roundAt
	return c.Use.state.Load()>>roundAt<<roundAt != round && c.Use.alter(rounds, round) != round
}

// StillLacks takes back the report of Lacks: the caller has not written the copy.
func (s *Store) StillLacks(c *Copy) { c.Use.alter(rounds, (s.round.Load()-1)<<roundAt) }

// writtenBelow notes that the tiers below have a copy, or will have it soon.
func (s *Store) writtenBelow(c *Copy) { c.Use.alter(rounds, s.round.Load()<<roundAt) }

// rounds are the bits of Use.state for the round.
const rounds = 0xffff << roundAt

// WriteFoundBelow writes a copy that was found under a storage key, with its Variants, to the tiers below memory. The
// caller has a reference to the copy.
func (s *Store) WriteFoundBelow(ctx context.Context, key string, found Found) error {
	err := s.sink(ctx, found.Key, found.Copy)
	if found.Variants != nil {
		err = errors.Join(err, s.sink(ctx, key, found.Variants))
	}
	return err
}
