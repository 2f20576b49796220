package store

import (
	"context"
	"errors"
)

// Rewarm is called when a tier may have lost its copies. It begins another round: each copy in memory is written to the tiers again when it is next read,
// so that the copies that are read most are written first, and those that are not read are not written.
func (s *Store) Rewarm() { s.round.Add(1) }

// Lacks reports whether a copy that was just read has to be written to the tiers below memory. It reports true once in each round, to one caller. Usually
// it costs two atomic loads.
func (s *Store) Lacks(c *Copy) bool {
	round := s.round.Load() << roundAt
	return c.Use.state.Load()>>roundAt<<roundAt != round && c.Use.alter(rounds, round) != round
}

// StillLacks undoes that Lacks has reported true, because the copy was not written: the next call of Lacks reports true again.
func (s *Store) StillLacks(c *Copy) { c.Use.alter(rounds, (s.round.Load()-1)<<roundAt) }

// writtenBelow notes that a copy is in the tiers below memory, or about to be written.
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
