package feed

import (
	"context"
	"time"

	"cacheproxy/invalidation/postgres"

	"github.com/jackc/pgx/v5"
)

// left is a change that is left for somebody else.
type left struct {
	xid   string
	since time.Time // when it was first seen
	clear time.Time // when it was not in sight yet
}

// source is what tells of changes: the outbox, which triggers fill, or a replication slot.
type source interface {
	// pass looks at all that has come into sight, has it purged until that holds, and then lets go of it there; where it is not eager,
	// only what nobody else has consumed for longer than patience. It says how long to wait at least until the next look.
	pass(ctx context.Context, eager bool) (pause time.Duration, err error)
}

// session is what is known by one connection.
type session struct {
	feed    *Feed
	conn    *pgx.Conn // nil: there is none
	worked  bool
	looked  time.Time // when the last look began that was carried out whole
	waiting map[int64]left
	woken   []chan struct{} // are closed once a look is done
	alone   time.Time       // until then changes are consumed at once, since nobody else did
}

// run looks again and again until something fails.
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
	f.sight.owed.Store(0) // of another source
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

// answer tells whoever has asked for a look that it is done.
func (s *session) answer() {
	for _, done := range s.woken {
		close(done)
	}
	s.woken = nil
}

// eager reports whether rows are consumed as soon as they are seen.
func (s *session) eager(now time.Time) bool { return now.Before(s.alone) || s.feed.options.Preferred() }

// take reports whether a change that was seen is to be consumed now: at once, or since nobody else did for longer than patience. Else it waits.
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

// cleared notes that all changes that were in sight at a time are purged, but for those that are left for somebody else.
func (s *session) cleared(at time.Time) {
	for _, l := range s.waiting {
		if l.clear.Before(at) {
			at = l.clear
		}
	}
	s.feed.sight.cleared(at)
}
