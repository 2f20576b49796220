package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/invalidation/postgres/pgoutput"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// idleBytes is how much log may lie behind the slot's position before the slot is advanced although none of our
	// tables has changed.
	idleBytes = 16 << 20
	// busyMost is how long other sessions may hold the slot before the feed reports a failure.
	busyMost = 5 * time.Second
	// settleTimeout bounds an advance of the slot. The server reads the log in between.
	settleTimeout = time.Minute
)

// slotMemory is the knowledge about a slot, across connections. Only the goroutine of follow uses it.
type slotMemory struct {
	key     string // Config.Key of the database
	of      postgres.Logical
	timeout time.Duration // how long a look may take
	system  string        // the server that was seen last
	current pgoutput.LSN  // up to where the log of that server was written: a server with less was set back
	// gaps are mappings whose changes went untold when the catalog was read, until their copies are confirmed.
	gaps map[string]bool
}

// slot is the source that reads the write-ahead log through a replication slot. See doc.go for why no change is missed.
type slot struct {
	*session
	limit int // how many changes a look reads
	began time.Time
	told  map[string]postgres.Told
	of    *Config   // the configuration that told belongs to
	next  time.Time // when the catalog is read again
	// purged are the transactions after the slot's position that are purged, by their ends.
	purged map[pgoutput.LSN]bool
	open   *openGap // nil: all changes were told
	// Once the log is written up to unwritten, all changes that were visible at since are decoded.
	since     time.Time
	unwritten pgoutput.LSN
	// foreign are relations without a mapping, by the last reading of the catalog.
	foreign map[uint32]bool
}

func newSlot(s *session) *slot {
	return &slot{session: s, began: time.Now(), limit: pageChanges, purged: map[pgoutput.LSN]bool{}}
}

// pass implements source.
func (s *slot) pass(ctx context.Context, eager bool) (time.Duration, error) {
	f, asked := s.feed, time.Now()
	if err := s.catalog(ctx, false); err != nil {
		return 0, err
	}
	var worked time.Duration // by the server, at decoding: each look decodes from the oldest open transaction
	for again := true; again; {
		p, err := s.look(ctx)
		if err == nil && (len(p.strange) > 0 || p.absent) { // the catalog has changed since it was read
			worked += p.worked()
			if err = s.catalog(ctx, true); err == nil {
				for _, oid := range p.strange {
					s.foreign[oid] = true
				}
				p, err = s.look(ctx)
			}
		}
		switch {
		case errors.Is(err, errSlotBusy), errors.Is(err, errSlotMoved): // the instance that reads the slot consumes
			if time.Since(s.looked) > busyMost && time.Since(s.began) > busyMost {
				f.count(lookFailed)
				f.tell(lookFailed, "changes in PostgreSQL are not seen; it is tried again", "error", err)
			}
			return min(worked, restMost), nil
		case err != nil:
			return 0, err
		}
		worked += p.worked()
		f.sight.retained.Store(max(int64(p.current-p.restart), 0))
		if again, err = s.page(ctx, p, asked, eager); err != nil {
			return 0, err
		}
	}
	return min(worked, restMost), nil // half of the time is enough, unless the changes would wait for too long
}

// catalog reads how the tables are told of, every gapsEvery, or now.
func (s *slot) catalog(ctx context.Context, now bool) error {
	config := s.feed.config.Load()
	if !now && s.of == config && time.Now().Before(s.next) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	told, err := postgres.ReadTold(ctx, s.conn, config.Publication, config.Mappings)
	if err != nil {
		return fmt.Errorf("look for publication: %w", err)
	}
	s.foreign = map[uint32]bool{}
	s.told, s.of, s.next = told, config, time.Now().Add(gapsEvery)
	return nil
}

// page consumes the changes that a look has found. again says that the slot may have more.
func (s *slot) page(ctx context.Context, p *slotPage, began time.Time, eager bool) (again bool, err error) {
	f := s.feed
	if why := p.gap(p.config.Slot); why != "" {
		f.sight.missing.Store(int64(len(p.config.Mappings)))
		f.count(notInstalled)
		f.tell(notInstalled, "changes in PostgreSQL go untold; run: cacheproxy pg install", "why", why)
		return false, nil
	}
	m := p.milestones[p.confirmed.String()]
	if m.Through == "" && p.full && !p.absent && p.rows < mostChanges {
		s.limit = 2 * p.rows // the milestone may come later, after transactions that committed before it
		return true, nil
	}
	if !m.proves(p.slotFacts) || f.slots.setBack(p.slotFacts) || p.absent {
		m.Told = nil
	} else {
		f.stands(p.confirmed)
	}
	if !p.absent {
		if err := s.consume(ctx, p, began, eager); err != nil {
			return false, err
		}
	}
	untold, now, err := s.untold(ctx, p, m)
	if err != nil {
		return false, err
	}
	if len(untold) > 0 {
		return s.gap(ctx, p, untold, now, began, eager, m.Told == nil)
	}
	if p.absent {
		return false, nil
	}
	s.open = nil
	if err := f.unshared(ctx); err != nil {
		return false, err
	}
	f.slots.system, f.slots.current = p.system, p.current
	through, worth := s.through(p, eager)
	if worth {
		if worth, err = s.advance(ctx, p, through, now); err != nil {
			return false, err
		}
	}
	switch {
	case p.full && worth:
		s.limit = pageChanges
		return true, nil
	case p.full: // transactions that are not visible, or are left for another instance, stand before others
		s.limit = min(2*p.rows, mostChanges)
		return false, nil
	}
	if s.unwritten == 0 || s.unwritten <= p.current {
		if s.unwritten > 0 {
			s.looked = s.since
			s.cleared(s.since)
		}
		s.since, s.unwritten = began, p.inserted
	}
	if s.unwritten <= p.current { // p.inserted was read after began
		s.looked = s.since
		s.cleared(s.since)
	}
	return false, nil
}

// consume purges what the visible transactions name until the purge holds.
func (s *slot) consume(ctx context.Context, p *slotPage, began time.Time, eager bool) error {
	f, all := s.feed, s.feed.newOrder()
	var taken []*transaction
	there := map[int64]bool{}
	for _, t := range p.transactions {
		there[int64(t.end)] = true
		if t.names == nil || len(t.untold) > 0 || s.purged[t.end] || !p.visible(t.xid) || !s.take(int64(t.end), p.full64(t.xid), began, eager) {
			continue
		}
		all.join(t.names)
		taken = append(taken, t)
	}
	for end := range s.purged {
		if end <= p.confirmed {
			delete(s.purged, end)
		}
	}
	for id := range s.waiting {
		if !there[id] {
			delete(s.waiting, id) // somebody else has consumed the transaction
		}
	}
	f.sight.waiting.Store(int64(len(s.waiting) + len(taken)))
	if len(taken) > 0 {
		orders := all.orders()
		if err := f.untilHeld(ctx, orders...); err != nil {
			return err
		}
		s.answer()
	}
	for _, t := range taken {
		s.purged[t.end] = true
		f.sight.rows.Add(uint64(t.changes))
		f.options.Held(max(p.now.Sub(t.at), 0) + time.Since(p.read))
	}
	f.sight.waiting.Store(int64(len(s.waiting)))
	if f.options.between != nil && len(taken) > 0 {
		f.options.between()
	}
	return nil
}

// through returns the end of the last transaction up to which all transactions are purged, and whether an advance to
// the end is worth its cost.
func (s *slot) through(p *slotPage, eager bool) (end pgoutput.LSN, worth bool) {
	end = p.confirmed
	for _, t := range p.transactions {
		if t.names != nil && !s.purged[t.end] {
			break
		}
		end, worth = t.end, worth || t.names != nil
	}
	return end, end > p.confirmed && (worth || eager && (p.current-p.confirmed > idleBytes || p.full))
}

// advance writes a milestone, and then advances the slot. advance reports false if another instance was faster or holds
// the slot: the next look shows the outcome.
func (s *slot) advance(ctx context.Context, p *slotPage, to pgoutput.LSN, told map[string]string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	defer s.slow("advance the slot")()
	stood, end := s.feed.others.placed, pgoutput.LSN(0)
	if to == p.confirmed {
		s.feed.others.placed = 0 // until the outcome is known: the next look may find this milestone at a new place
	}
	err := s.write(ctx, milestone{to.String(), p.system, p.timeline, told})
	if err != nil {
		return false, err
	}
	if to == p.confirmed {
		// A slot that was made anew or moved by hand stands at a place that nobody left. This milestone is for that
		// place, so a look that finds the slot there sees no mark of another consumer.
		s.feed.others.placed = to
		return true, nil
	}
	s.feed.others.placed = 0 // until the outcome is known
	for try := 0; ; try++ {
		err = s.conn.QueryRow(ctx, "select ((pg_catalog.pg_replication_slot_advance($1, $2::text::pg_lsn)).end_lsn - '0/0')::bigint", p.config.Slot, to.String()).Scan(&end)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "55006" || try == busyTries || !sleep(ctx, busyPause) {
			break
		}
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.Code == "55006" || pg.Code == "55000" || pg.Code == "42704") {
		s.feed.others.placed = stood
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("advance slot: %w", err)
	}
	s.feed.others.placed = end
	return true, nil
}

// write writes a milestone, and waits until the milestone is on the disk of this server, and for no standby. An advance
// before that could leave the slot at a place whose milestone a crash has lost. The content is bytes: a slot returns the
// content of a message as the log has it, and the log has a text in the encoding of the database.
func (s *slot) write(ctx context.Context, m milestone) error {
	var batch pgx.Batch
	batch.Queue("begin")
	batch.Queue("set local synchronous_commit = local")
	batch.Queue("select pg_catalog.pg_logical_emit_message(true, $1::text, $2::bytea)", milestonePrefix+s.feed.config.Load().Slot, []byte(m.text()))
	batch.Queue("commit")
	if err := s.conn.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("write milestone: %w", err)
	}
	return nil
}
