package feed

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/invalidation/postgres/pgoutput"
	"cacheproxy/policy"

	"github.com/jackc/pgx/v5"
)

// openGap is about changes that nothing has told of, and nothing will. The copies of their tables are confirmed once
// each transaction that may have made such a change has ended: before that, a fetch may read the old data. Until then
// the feed is blind.
type openGap struct {
	of      string // the ids of the mappings
	since   time.Time
	said    bool
	writers []string     // transactions that may have made such a change, and had not ended when the gap was found
	skip    pgoutput.LSN // where the slot can be read again; zero: at its position
}

// writersSQL lists the transactions that have changed one of some tables, or are about to, and are not visible yet. A
// transaction releases its locks after its changes have become visible. So a transaction that has changed one of the
// tables is listed, or visible, or both. The feed waits for no transaction without a lock on the tables, however long
// the transaction is open.
const writersSQL = `select distinct virtualtransaction::text from pg_catalog.pg_locks where locktype = 'relation' and granted and relation = any ($1::bigint[]::oid[])
	and database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
	and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`

// setBack reports whether the log of a server is shorter than it was.
func (m *slotMemory) setBack(f slotFacts) bool { return m.system == f.system && f.current < m.current }

// untold returns the mappings whose copies have to be confirmed, and the content of the next milestone (now). The next
// milestone names all mappings except those whose changes go untold at present.
//
// A mapping is untold if its changes do not go untold at present, and one of these is true: the milestone at the slot's
// position does not name the mapping with the same relations; its changes went untold when the catalog was read; or an
// install has written that its changes went untold.
//
// A mapping whose changes go untold at present is removed from the milestone at once. Otherwise the next consumer would
// believe, after the mapping is mended, that all its changes were told.
func (s *slot) untold(ctx context.Context, p *slotPage, m milestone) (untold []*postgres.Mapping, now map[string]string, err error) {
	f := s.feed
	now = map[string]string{}
	var gaps []*postgres.Mapping
	withdraw, said := false, map[string]bool{}
	for _, t := range p.transactions {
		for _, id := range t.untold {
			said[id] = said[id] || !s.purged[t.end]
		}
	}
	for _, of := range p.config.Mappings {
		t := s.told[of.ID]
		state, was := m.Told[of.ID]
		if t.Gap != "" {
			gaps = append(gaps, of)
			withdraw = withdraw || was
			f.slots.gaps[of.ID] = true
			f.count(notInstalled)
			f.tell(notInstalled, "changes of this table may go untold; run: cacheproxy pg install", "mapping", of.ID, "why", t.Gap)
			continue
		}
		if !was || state != t.State || f.slots.gaps[of.ID] || said[of.ID] {
			untold = append(untold, of)
		}
		now[of.ID] = t.State
	}
	f.sight.missing.Store(int64(len(gaps) + len(untold)))
	if withdraw {
		err = s.write(ctx, m.without(gaps))
	}
	return untold, now, err
}

// gap confirms the copies of tables whose changes went untold, and writes the milestone that says that the tables are
// told of from here on.
func (s *slot) gap(ctx context.Context, p *slotPage, untold []*postgres.Mapping, now map[string]string, began time.Time, eager, all bool) (again bool, err error) {
	f := s.feed
	of, own, relations := "", all, []uint32(nil)
	for _, m := range untold {
		of, own, relations = of+m.ID+"\n", own || f.slots.gaps[m.ID], append(relations, s.told[m.ID].Relations...)
	}
	writers, err := s.writers(ctx, relations)
	if err != nil {
		return false, err
	}
	if s.open == nil || s.open.of != of || p.absent && s.open.skip == 0 {
		before := s.open
		s.open = &openGap{of: of, since: began, writers: writers}
		if before != nil {
			s.open.since, s.open.said = before.since, before.said
		}
		if p.absent {
			s.open.skip = p.current
		}
	}
	if !eager {
		// The instance that consumes may have another configuration, and tell of other tables for a good reason.
		if !own || began.Sub(s.open.since) < patience {
			return false, nil
		}
		s.alone = began.Add(standIn)
	}
	if !s.open.said {
		s.open.said = true
		f.count(unknownGap)
		f.tell(unknownGap, "what has changed in PostgreSQL since its slot was read last is not known; the copies that its tables feed are confirmed",
			"slot", p.config.Slot, "at", p.confirmed.String(), "all", all, "tables", len(untold))
	}
	if slices.ContainsFunc(writers, func(w string) bool { return slices.Contains(s.open.writers, w) }) {
		return false, nil
	}
	var tags []policy.Member
	for _, m := range untold {
		tags = append(tags, m.Whole())
	}
	if err := f.untilHeld(ctx, f.unknown(tags)); err != nil {
		return false, err
	}
	if done, err := s.advance(ctx, p, max(p.confirmed, s.open.skip), now); err != nil || !done {
		return false, err
	}
	s.open = nil
	for _, t := range p.transactions {
		if len(t.untold) > 0 {
			s.purged[t.end] = true
		}
	}
	for _, m := range untold {
		delete(f.slots.gaps, m.ID)
	}
	f.slots.system, f.slots.current = p.system, p.current
	return true, nil
}

// writers returns the transactions that write to some tables at present.
func (s *slot) writers(ctx context.Context, relations []uint32) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	oids := make([]int64, len(relations))
	for i, oid := range relations {
		oids[i] = int64(oid)
	}
	rows, _ := s.conn.Query(ctx, writersSQL, oids) // CollectRows returns the error too
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for writers: %w", err)
	}
	return all, nil
}
