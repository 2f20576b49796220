package feed

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"

	"github.com/jackc/pgx/v5"
)

const (
	// retryFirst and retryMost are the pauses after a failure, which double from one to the next.
	retryFirst, retryMost = 100 * time.Millisecond, 5 * time.Second
	// patience is for how long an instance that is not preferred leaves a row for the one that is, and standIn for how long it
	// consumes at once after it has had to.
	patience, standIn = time.Second, 10 * time.Second
	// aside is how often an instance looks that is not preferred.
	aside = time.Second
	// fullEvery is how often everything is looked at, whatever the looks before have seen; it takes at most one part in fullShare of
	// the time.
	fullEvery, fullShare = 30 * time.Second, 50
	// mostWaiting is how many rows are left for somebody else at once.
	mostWaiting = 10_000
)

// Config is what a reload may change.
type Config struct {
	URL      string // as libpq has it
	Mappings map[string]Mapping
	// Unknown is what a row names whose mapping is not among them, by its id; none: everything.
	Unknown       func(id string) []policy.Member
	LongestSettle time.Duration // of what is unknown
	Poll          time.Duration // how often the database is asked
	Notify        bool          // hints are listened for
}

// Options is what a Feed works with. All but the hooks of tests are required.
type Options struct {
	Config Config
	Log    invalidation.Log
	Logger *slog.Logger
	// Preferred reports whether this instance consumes at once. It must be safe for concurrent use.
	Preferred func() bool
	Purged    func(took time.Duration) // a purge holds
	Held      func(took time.Duration) // so does what one row has named, that long after it was written
	// Pass reports whether a line about something that tends to come often may be logged.
	Pass func(Kind) bool

	beforeDelete func() // of tests
}

// Feed has the changes of a database purged. Its methods are safe for concurrent use.
type Feed struct {
	options Options
	log     invalidation.Log
	config  atomic.Pointer[Config]
	sight   sight
	// hinted and woken ask for a look, each with room for one; renewed says that the configuration has changed.
	hinted, woken, renewed chan struct{}
}

// New makes a feed. It dials nothing.
func New(o Options) *Feed {
	f := &Feed{options: o, log: o.Log, hinted: make(chan struct{}, 1), woken: make(chan struct{}, 1), renewed: make(chan struct{}, 1)}
	f.config.Store(&o.Config)
	f.sight.began = time.Now()
	return f
}

// Reconfigure puts another configuration in force. One with another URL makes a connection of its own.
func (f *Feed) Reconfigure(c Config) {
	before := f.config.Swap(&c)
	if before.URL != c.URL || before.Notify != c.Notify {
		f.nudge(f.renewed)
	}
}

// Woken says that this instance has just let a write through, of which rows may have come into sight: it looks at once, and consumes what it
// finds.
func (f *Feed) Woken() { f.nudge(f.woken) }

func (f *Feed) nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run consumes until ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		turn, end := context.WithCancel(ctx)
		var parts sync.WaitGroup
		if f.config.Load().Notify {
			parts.Go(func() { f.hear(turn) })
		}
		parts.Go(func() { f.follow(turn) })
		select {
		case <-ctx.Done():
		case <-f.renewed:
		}
		end()
		parts.Wait()
	}
	return nil
}

// follow consumes over one connection after another until ctx ends.
func (f *Feed) follow(ctx context.Context) {
	defer f.sight.up.Store(false)
	for pause := retryFirst; ctx.Err() == nil; {
		s := &session{feed: f, waiting: map[int64]left{}}
		err := s.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.worked {
			pause = retryFirst
		}
		kind := Look
		if f.sight.up.Swap(false); s.conn == nil {
			kind = Connection
		}
		f.count(kind)
		f.tell(kind, "changes in PostgreSQL are not seen; it is tried again", "error", err)
		sleep(ctx, jittered(pause))
		pause = min(2*pause, retryMost)
	}
}

// left is a row that is left for somebody else.
type left struct {
	since time.Time // when it was first seen
	clear time.Time // when it was not in sight yet
}

// session is what is known by one connection.
type session struct {
	feed    *Feed
	conn    *pgx.Conn // nil: there is none
	worked  bool
	base    *snapshot // of the last look that was carried out whole; nil: everything has to be looked at
	looked  time.Time // when that began
	full    time.Time // when everything is to be looked at again
	waiting map[int64]left
	alone   time.Time // until then rows are consumed at once, since nobody else did
	// unmarked is up to when changes that markers stand for are purged, and nextMarkers from when on they are worth another purge.
	unmarked, nextMarkers time.Time
}

// run looks again and again until something fails.
func (s *session) run(ctx context.Context) (err error) {
	f := s.feed
	if s.conn, err = connect(ctx, f.config.Load().URL, canceling); err != nil {
		return err
	}
	defer hangUp(s.conn)
	timer := time.NewTimer(0)
	defer timer.Stop()
	woken := false
	for {
		if err := s.pass(ctx, woken || s.eager(time.Now())); err != nil {
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
		timer.Reset(pause)
		woken = false
		select {
		case <-timer.C:
		case <-hinted:
		case <-f.woken:
			woken = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// eager reports whether rows are consumed as soon as they are seen.
func (s *session) eager(now time.Time) bool { return now.Before(s.alone) || s.feed.options.Preferred() }

// pass looks at all that has come into sight, and consumes it.
func (s *session) pass(ctx context.Context, eager bool) error {
	f, began := s.feed, time.Now()
	everythingNow := s.base == nil || !began.Before(s.full)
	in, timeout := everything(), fullTimeout
	if !everythingNow {
		in, timeout = since(*s.base, s.ids()), lookTimeout
	}
	var first snapshot
	var markers []*string
	for again := true; again; {
		asked, cancel := context.WithTimeout(ctx, timeout)
		p, err := look(asked, s.conn, in)
		cancel()
		if err != nil {
			return err
		}
		if first.limit == "" {
			first, markers = p.seen, p.markers
		}
		if s.base != nil && p.seen.older(*s.base) {
			// Another server answers, or this one has been set back: what was seen says nothing about what is there.
			s.base, s.waiting = nil, map[int64]left{}
			return nil
		}
		rows := s.sort(p, in, began, eager)
		f.sight.waiting.Store(int64(len(s.waiting) + len(rows)))
		if err := f.consume(ctx, s.conn, rows); err != nil {
			return err
		}
		f.sight.waiting.Store(int64(len(s.waiting)))
		in.past(p.rows)
		again = p.full
	}
	if everythingNow {
		s.full = time.Now().Add(max(fullEvery, fullShare*time.Since(began)))
	}
	s.base, s.looked = &first, began
	if err := s.consumeMarkers(ctx, markers, began, eager); err != nil {
		return err
	}
	clear := s.unmarked
	for _, l := range s.waiting {
		if l.clear.Before(clear) {
			clear = l.clear
		}
	}
	f.sight.cleared(clear)
	return nil
}

// consumeMarkers consumes the markers that a look has found, as often as is worth it.
func (s *session) consumeMarkers(ctx context.Context, found []*string, began time.Time, eager bool) error {
	s.feed.sight.markers.Store(int64(len(found)))
	overdue := began.Sub(s.unmarked) >= patience
	switch {
	case len(found) == 0:
		s.unmarked = began
		return nil
	case !eager && !overdue, began.Before(s.nextMarkers):
		return nil
	case !eager:
		s.alone = began.Add(standIn)
	}
	if err := s.feed.markers(ctx, s.conn, found); err != nil {
		return err
	}
	s.unmarked, s.nextMarkers = began, time.Now().Add(markerPause)
	return nil
}

// sort decides which rows of a page are consumed, and leaves the others.
func (s *session) sort(p page, in scope, began time.Time, eager bool) (now []row) {
	there := map[int64]bool{}
	for _, r := range p.rows {
		there[r.id] = true
		l, known := s.waiting[r.id]
		if !known {
			l = left{since: began, clear: s.looked}
		}
		overdue := began.Sub(l.since) >= patience || len(s.waiting) >= mostWaiting
		if overdue && !eager {
			s.alone = began.Add(standIn)
		}
		if eager || overdue {
			now = append(now, r)
			delete(s.waiting, r.id)
			continue
		}
		s.waiting[r.id] = l
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

// ids are the rows that are left for somebody else.
func (s *session) ids() (ids []int64) {
	for id := range s.waiting {
		ids = append(ids, id)
	}
	return ids
}

func (f *Feed) count(k Kind) { f.sight.failed[k].Add(1) }

// tell logs something that tends to come often.
func (f *Feed) tell(k Kind, text string, args ...any) {
	if f.options.Pass(k) {
		f.options.Logger.Warn(text, args...)
	}
}

// sleep reports whether it has slept for so long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d) }
