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
	base *snapshot // of the last complete look; nil: the next look reads everything
	full time.Time // when the next look at everything is due
	// All changes up to paid are purged as far as tags were owed for them. The next purge of owed tags is not before
	// nextOwed.
	paid, nextOwed time.Time
	consumed       int64     // the last value of cacheproxy.consumed that was set on this connection
	nextProgress   time.Time // when the next update of cacheproxy.consumed is due
}

// pass looks at all visible rows, and consumes them.
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
			// Another server answers, or this server was set back: base and waiting say nothing about its rows.
			s.base, s.waiting = nil, map[int64]left{}
			return 0, nil
		}
		s.feed.marked(p.mark)
		rows := s.sort(p, in, began, eager)
		f.sight.waiting.Store(int64(len(s.waiting) + len(rows)))
		if err := f.consume(ctx, s.conn, rows, s.held); err != nil {
			return 0, err
		}
		s.answer() // the first page has the rows that were committed before Woken, unless there is more than a page
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

// held is called when the names of rows are purged, before the rows are deleted.
func (s *outbox) held(ctx context.Context) error {
	s.answer()
	return s.beat(ctx, true)
}

// sort returns the rows of a page that are consumed at once, and adds the others to waiting.
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
				delete(s.waiting, id) // another instance has consumed the row
			}
		}
	}
	return now
}

// progress updates cacheproxy.consumed, by which triggers know that a consumer is there (package postgres, C2).
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

// rest handles what a look has found besides rows: owed tags, mappings that are not installed, and lost changes.
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

// lostChanges purges the tables of which a change may have left no trace. Copies in a shared tier may be older than
// this process, and lack changes that were lost before the process first read the counter. So the first sight of a
// counter that is not zero is an order too, without an alarm. A counter that was set back is of another server, whose
// lost changes are unknown as well.
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
	f.lost = lost // after the purge: if the purge fails, the next connection repeats it
	return nil
}
