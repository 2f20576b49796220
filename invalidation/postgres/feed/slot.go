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
	// idleBytes is how much of the log may lie behind where the slot stands before it is advanced although nothing of ours has changed.
	idleBytes = 16 << 20
	// busyMost is for how long a slot may be in use by others before that is told.
	busyMost = 5 * time.Second
	// settleTimeout bounds advancing the slot, for which the server reads what lies between.
	settleTimeout = time.Minute
)

// slotMemory is what is known of a slot over connections. Only who follows uses it.
type slotMemory struct {
	key     string // of the configuration that it is about
	of      postgres.Logical
	timeout time.Duration // how long reading may take
	system  string        // which server was seen last,
	current pgoutput.LSN  // and up to where its log was written: one that is less far was set back
	// gaps are the mappings of which changes went untold when the catalog was read, until their copies are confirmed.
	gaps map[string]bool
}

// slot is the source that the write-ahead log is, by a replication slot. See doc.go for what keeps changes from being missed.
type slot struct {
	*session
	limit int // how many changes are read at once
	began time.Time
	told  map[string]postgres.Told
	of    *Config   // the configuration that told is for
	next  time.Time // when the catalog is asked again
	// purged are the transactions behind where the slot stands that are purged already, by their ends.
	purged map[pgoutput.LSN]bool
	open   *openGap // nil: everything was told
	// All changes that were visible at since are decoded once the log is written up to unwritten.
	since     time.Time
	unwritten pgoutput.LSN
	// foreign are relations that no mapping is about, as far as the catalog was read.
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
	var reading time.Duration
	for again := true; again; {
		began := time.Now()
		p, err := s.look(ctx)
		if err == nil && (len(p.strange) > 0 || p.absent) { // the catalog has become another one since it was asked
			if err = s.catalog(ctx, true); err == nil {
				for _, oid := range p.strange {
					s.foreign[oid] = true
				}
				p, err = s.look(ctx)
			}
		}
		reading += time.Since(began)
		switch {
		case errors.Is(err, errSlotBusy), errors.Is(err, errSlotMoved): // whoever reads it consumes it
			if time.Since(s.looked) > busyMost && time.Since(s.began) > busyMost {
				f.count(lookFailed)
				f.tell(lookFailed, "changes in PostgreSQL are not seen; it is tried again", "error", err)
			}
			return reading, nil
		case err != nil:
			return 0, err
		}
		f.sight.retained.Store(max(int64(p.current-p.restart), 0))
		if again, err = s.page(ctx, p, asked, eager); err != nil {
			return 0, err
		}
	}
	return reading, nil // which begins where the oldest transaction that is open has begun, each time: half of the time is enough for it
}

// catalog asks how the tables are told of, now and then.
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

// page consumes what a look has found, and says whether there may be more.
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
		s.limit = 2 * p.rows // it may come later: what its writer found committed meanwhile comes before it
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
	case p.full: // transactions that are not visible stand before others, or such as are left for somebody else
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
	if s.unwritten <= p.current { // which was asked for after began
		s.looked = s.since
		s.cleared(s.since)
	}
	return false, nil
}

// consume purges what visible transactions name until it holds.
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
			delete(s.waiting, id) // somebody else has consumed it
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

// through is up to where all is purged, from where the slot stands, and whether it is worth advancing.
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

// advance writes a milestone, and then advances the slot. It reports whether it could: where somebody else has been faster, or holds the slot,
// the next look says what has become of it.
func (s *slot) advance(ctx context.Context, p *slotPage, to pgoutput.LSN, told map[string]string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := s.write(ctx, milestone{to.String(), p.system, p.timeline, told}); err != nil {
		return false, err
	}
	if to == p.confirmed {
		return true, nil
	}
	var err error
	stood, end := s.feed.others.placed, pgoutput.LSN(0)
	s.feed.others.placed = 0 // until it is known what has become of it
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

// write writes a milestone, and waits until it is in the log on this server, and for no standby: what is not there could not be read when the
// slot has been advanced.
func (s *slot) write(ctx context.Context, m milestone) error {
	var batch pgx.Batch
	batch.Queue("begin")
	batch.Queue("set local synchronous_commit = local")
	batch.Queue("select pg_catalog.pg_logical_emit_message(true, $1::text, $2::text)", milestonePrefix+s.feed.config.Load().Slot, m.text())
	batch.Queue("commit")
	if err := s.conn.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("write milestone: %w", err)
	}
	return nil
}
