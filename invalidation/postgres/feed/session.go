package feed

import (
	"context"
	"time"

	"cacheproxy/invalidation/postgres"

	"github.com/jackc/pgx/v5"
)

// left is a change that is left for another instance.
type left struct {
	xid   string
	since time.Time // when a look first saw the change
	clear time.Time // a time at which the change was not visible yet
}

// source tells of changes: the outbox, which triggers fill, or a replication slot.
type source interface {
	// pass looks at all visible changes, purges what they name until the purge holds, and then removes the changes from
	// the source. If eager is false, pass consumes only changes that no instance has consumed for longer than patience.
	// pause is the least wait until the next pass.
	pass(ctx context.Context, eager bool) (pause time.Duration, err error)
}

// session is the state of one connection.
type session struct {
	feed    *Feed
	conn    *pgx.Conn // nil: not connected
	worked  bool
	looked  time.Time // when the last complete look began
	waiting map[int64]left
	woken   []chan struct{} // closed once a look is done
	alone   time.Time       // until then this instance consumes at once, since no other did
}

// run makes one pass after another until a pass fails.
func (s *session) run(ctx context.Context) (err error) {
	f := s.feed
	if s.conn, err = connect(ctx, f.config.Load().Source, postgres.Canceling); err != nil {
		return err
	}
	defer postgres.HangUp(s.conn)
	var from source = &outbox{session: s}
	if f.config.Load().Slot != "" {
		from = newSlot(s)
	}
	f.sight.owed.Store(0) // the count may be of another source
	f.sight.retained.Store(0)
	for {
		least, err := from.pass(ctx, len(s.woken) > 0 || s.eager(time.Now()))
		s.answer()
		if err != nil {
			return err
		}
		if !s.worked {
			s.worked = true
			f.sight.up.Store(true)
			f.options.Logger.Info("changes in PostgreSQL are seen", "server", s.conn.PgConn().Conn().RemoteAddr().String())
		}
		pause := f.config.Load().Poll
		var hinted chan struct{}
		if s.eager(time.Now()) {
			hinted = f.hinted
		} else {
			pause = max(pause, aside)
		}
		select {
		case <-time.After(max(pause, least)):
		case <-hinted:
		case done := <-f.woken:
			s.woken = append(s.woken, done)
			for len(f.woken) > 0 {
				s.woken = append(s.woken, <-f.woken)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answer closes the channels of the callers of Woken: their look is done.
func (s *session) answer() {
	for _, done := range s.woken {
		close(done)
	}
	s.woken = nil
}

// eager reports whether this instance consumes changes as soon as a look sees them.
func (s *session) eager(now time.Time) bool { return now.Before(s.alone) || s.feed.options.Preferred() }

// take reports whether this instance consumes a change at once: if eager, or if no instance has consumed the change for
// longer than patience. Otherwise the change is added to waiting.
func (s *session) take(id int64, xid string, began time.Time, eager bool) bool {
	l, known := s.waiting[id]
	if !known {
		l = left{xid: xid, since: began, clear: s.looked}
	}
	overdue := began.Sub(l.since) >= patience || len(s.waiting) >= mostWaiting
	if overdue && !eager {
		s.alone = began.Add(standIn)
	}
	if eager || overdue {
		delete(s.waiting, id)
		return true
	}
	s.waiting[id] = l
	return false
}

// cleared records that all changes that were visible at a time are purged, except for those in waiting.
func (s *session) cleared(at time.Time) {
	for _, l := range s.waiting {
		if l.clear.Before(at) {
			at = l.clear
		}
	}
	s.feed.sight.cleared(at)
}
