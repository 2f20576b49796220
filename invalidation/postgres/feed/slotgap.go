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

// openGap is about changes of which nobody has told, and nobody will. The copies that they may be about are confirmed once each transaction
// that may have made one has ended: before, a fetch may read what was before it. Until then the feed is blind.
type openGap struct {
	of      string // which mappings, as a text
	since   time.Time
	said    bool
	writers []string     // transactions that may have made such a change, and had not ended when the gap was found
	skip    pgoutput.LSN // from where on the slot can be read; zero: where it stands
}

// writersSQL are the transactions that have changed one of some tables, or are about to, and can not be seen yet. A transaction lets go of its
// locks after its changes have come into sight. So who has changed a table is here, or can be read, or both; one that has nothing to do
// with the tables is waited for by nobody, however long it is open.
const writersSQL = `select distinct virtualtransaction::text from pg_catalog.pg_locks where locktype = 'relation' and granted and relation = any ($1::bigint[]::oid[])
	and database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
	and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`

// setBack reports whether a server has less in its log than it had.
func (m *slotMemory) setBack(f slotFacts) bool { return m.system == f.system && f.current < m.current }

// untold are the mappings of which the milestone where the slot stands does not say that all was told up to it, and those of which changes
// went untold when the catalog was read, or of which somebody has said so, and do so no more. now is what the next milestone says: of all
// mappings but those of which changes go untold at present. From these the milestone has to be taken at once: else they were believed to have
// been told, once they are mended.
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

// gap has the copies of tables confirmed of which changes went untold, and notes that they are told of from now on.
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
		// Who consumes may have another configuration, and be right to tell of other tables.
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

// writers are the transactions that write to tables at present.
func (s *slot) writers(ctx context.Context, relations []uint32) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	oids := make([]int64, len(relations))
	for i, oid := range relations {
		oids[i] = int64(oid)
	}
	rows, _ := s.conn.Query(ctx, writersSQL, oids) // whose error the rows have
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for writers: %w", err)
	}
	return all, nil
}
