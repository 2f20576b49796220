package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cacheproxy/policy"
)

// outbox is the source that triggers fill.
type outbox struct {
	*session
	base *snapshot // of the last look that was carried out whole; nil: everything has to be looked at
	full time.Time // when everything is to be looked at again
	// paid is up to when changes are purged for which a tag is owed, and nextOwed from when on they are worth another purge.
	paid, nextOwed time.Time
	consumed       int64     // what cacheproxy.consumed was set to last
	nextProgress   time.Time // when it is set again
}

// pass looks at all that has come into sight, and consumes it.
func (s *outbox) pass(ctx context.Context, eager bool) (time.Duration, error) {
	f, began := s.feed, time.Now()
	everythingNow := s.base == nil || !began.Before(s.full)
	in, timeout := everything(), fullTimeout
	if !everythingNow {
		in, timeout = since(*s.base, s.waiting), lookTimeout
	}
	var first page
	for again := true; again; {
		asked, cancel := context.WithTimeout(ctx, timeout)
		p, err := look(asked, s.conn, in)
		cancel()
		if err != nil {
			if errors.Is(err, errNothingInstalled) {
				f.nothingInstalled()
			}
			return 0, err
		}
		if first.seen.limit == "" {
			first = p
		}
		if s.base != nil && p.seen.older(*s.base) {
			// Another server answers, or this one has been set back: what was seen says nothing about what is there.
			s.base, s.waiting = nil, map[int64]left{}
			return 0, nil
		}
		s.feed.marked(p.mark)
		rows := s.sort(p, in, began, eager)
		f.sight.waiting.Store(int64(len(s.waiting) + len(rows)))
		if err := f.consume(ctx, s.conn, rows, s.held); err != nil {
			return 0, err
		}
		s.answer() // what was committed before they asked is on the first page, unless there is more than a page
		f.sight.waiting.Store(int64(len(s.waiting)))
		in.past(p.rows)
		if again = p.full; again && len(rows) > 0 {
			if err := s.progress(ctx, rows[len(rows)-1].id); err != nil {
				return 0, err
			}
		}
	}
	if everythingNow {
		s.full = time.Now().Add(max(fullEvery, fullShare*time.Since(began)))
	}
	s.base = &first.seen
	if err := s.beat(ctx, false); err != nil {
		return 0, err
	}
	if len(s.waiting) == 0 {
		if err := s.progress(ctx, first.last); err != nil {
			return 0, err
		}
	}
	if err := s.rest(ctx, first, began, eager); err != nil {
		return 0, err
	}
	if err := f.unshared(ctx); err != nil {
		return 0, err
	}
	s.looked = began
	s.cleared(s.paid)
	return 0, nil
}

// held is called when what rows name is purged, and they are about to be deleted.
func (s *outbox) held(ctx context.Context) error {
	s.answer()
	return s.beat(ctx, true)
}

// sort decides which rows of a page are consumed, and leaves the others.
func (s *outbox) sort(p page, in scope, began time.Time, eager bool) (now []row) {
	there := map[int64]bool{}
	for _, r := range p.rows {
		there[r.id] = true
		if s.take(r.id, r.xid, began, eager) {
			now = append(now, r)
		}
	}
	if !p.cut {
		for _, id := range in.waiting {
			if !there[id] {
				delete(s.waiting, id) // somebody else has consumed it
			}
		}
	}
	return now
}

// progress says up to which id the outbox is consumed, which tells triggers that somebody does (package postgres, C2).
func (s *outbox) progress(ctx context.Context, last int64) error {
	now, o := time.Now(), &s.feed.others
	ahead := s.feed.options.Alone && o.known && o.mark > last+mostAhead
	if last <= s.consumed && !ahead || now.Before(s.nextProgress) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	done, err := s.conn.Exec(ctx, "select setval('cacheproxy.consumed', $1::bigint) from cacheproxy.consumed where not is_called or last_value < $1::bigint or $2::bool", last, ahead)
	if err != nil {
		return fmt.Errorf("say how far the outbox is consumed: %w", err)
	}
	if done.RowsAffected() > 0 {
		o.mark = last
	}
	s.consumed, s.nextProgress = last, now.Add(progressPause)
	return nil
}

// rest does what a look has found besides rows: tags that are owed, mappings that are not installed, and changes that nothing tells of.
func (s *outbox) rest(ctx context.Context, p page, began time.Time, eager bool) error {
	if err := s.missing(ctx, p.owed); err != nil {
		return err
	}
	if err := s.lostChanges(ctx, p.lost); err != nil {
		return err
	}
	var owed []string
	for id, is := range p.owed {
		if is {
			owed = append(owed, id)
		}
	}
	s.feed.sight.owed.Store(int64(len(owed)))
	overdue := began.Sub(s.paid) >= patience
	switch {
	case len(owed) == 0:
		s.paid = began
		return nil
	case !eager && !overdue, began.Before(s.nextOwed):
		return nil
	case !eager:
		s.alone = began.Add(standIn)
	}
	if err := s.feed.settle(ctx, s.conn, owed); err != nil {
		return err
	}
	s.paid, s.nextOwed = began, time.Now().Add(owedPause)
	return nil
}

// lostChanges purges the tables of which a change may have left no trace. What was lost before this process has first read the counter may be
// missing in copies that are older than it, in a tier that others share: so the first sight of a counter that is not zero is an order,
// too, if no alarm. One that was set back is another server's, of which nothing is known either.
func (s *outbox) lostChanges(ctx context.Context, lost float64) error {
	f := s.feed
	before := f.lost
	if lost == before {
		return nil
	}
	if before >= 0 {
		f.count(changesLost)
		f.tell(changesLost, "changes were made that PostgreSQL could not tell of (on_error: lose); the copies of the tables that allow it are confirmed", "changes", lost-before)
	}
	var tags []policy.Member
	for _, m := range f.config.Load().Mappings {
		if m.Lossy {
			tags = append(tags, m.Whole())
		}
	}
	if len(tags) > 0 && lost+max(before, 0) > 0 {
		if err := f.untilHeld(ctx, f.unknown(tags)); err != nil {
			return err
		}
	}
	f.lost = lost // only now: what was not purged is owed by the next connection
	return nil
}
