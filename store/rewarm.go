package store

import (
	"context"
	"errors"
)

// Rewarm begins another round of writing to the tiers below memory what memory has: for when a tier may have lost what it
// held. Each copy is written when it is next read, so that what is read most is there first and what nobody reads is not
// written at all.
func (s *Store) Rewarm() { s.round.Add(1) }

// Lacks reports whether the tiers below memory may lack a copy that was just read. It says so once in each round, and costs
// two atomic loads.
func (s *Store) Lacks(c *Copy) bool {
	round := s.round.Load() << roundAt
	return c.Use.state.Load()>>roundAt<<roundAt != round && c.Use.alter(rounds, round) != round
}

// StillLacks takes back that a copy was asked for by Lacks: nobody has written it.
func (s *Store) StillLacks(c *Copy) { c.Use.alter(rounds, (s.round.Load()-1)<<roundAt) }

// writtenBelow notes that the tiers below have a copy, or are about to.
func (s *Store) writtenBelow(c *Copy) { c.Use.alter(rounds, s.round.Load()<<roundAt) }

// rounds are the bits of Use.state that say the round.
const rounds = 0xffff << roundAt

// WriteFoundBelow puts a copy that was found under a storage key, and to which the caller has a reference, into the tiers below memory.
func (s *Store) WriteFoundBelow(ctx context.Context, key string, found Found) error {
	err := s.sink(ctx, found.Key, found.Copy)
	if found.Variants != nil {
		err = errors.Join(err, s.sink(ctx, key, found.Variants))
	}
	return err
}
