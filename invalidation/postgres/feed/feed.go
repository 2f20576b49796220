package feed

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/postgres"

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
	// progressPause is how often it is said how far the outbox is consumed.
	progressPause = time.Second
	// mostWoken is for how many writes a look is asked at once.
	mostWoken = 1024
	// mostWaiting is how many rows are left for somebody else at once.
	mostWaiting = 10_000
)

// Config is what a reload may change.
type Config struct {
	// Source says where the database is. It is asked for each connection, and must be safe for concurrent use.
	Source   func() (*pgx.ConnConfig, error)
	Key      string // the same for what is the same Source
	Mappings []*postgres.Mapping
	Settle   time.Duration // the longest of all upstreams: for what may be about any of them
	Poll     time.Duration // how often the database is asked
	Notify   bool          // hints are listened for
	// Logical says by which slot changes are told; without one, triggers tell.
	postgres.Logical
}

// Options is what a Feed works with. All but the hooks of tests are required.
type Options struct {
	Config Config
	Log    invalidation.Log
	Logger *slog.Logger
	// Preferred reports whether this instance consumes at once. It must be safe for concurrent use.
	Preferred func() bool
	// Alone says that no other instance shares in the log: nobody else may consume.
	Alone  bool
	Purged func(took time.Duration) // a purge holds
	Held   func(took time.Duration) // so does what one row has named, that long after it was written
	// Pass reports whether a line about something that tends to come often may be logged.
	Pass func(Kind) bool

	between func() // of tests: is called after what was read is purged, and before it is deleted
}

// Feed has the changes of a database purged. Its methods are safe for concurrent use.
type Feed struct {
	options Options
	log     invalidation.Log
	config  atomic.Pointer[Config]
	sight   sight
	untold  untold
	// hinted asks for a look, and renewed says that the configuration has changed; each has room for one.
	hinted, renewed chan struct{}
	woken           chan chan struct{} // asks for a look; what is sent is closed after it
	// lost is what cacheproxy.lost said when the tables that allow it were purged last, and lostOf in which database; below zero: it was
	// not read yet. It outlives connections, since changes are lost between them as well. Only follow has it.
	lost   float64
	lostOf string
	slots  slotMemory
	others others
}

// New makes a feed. It dials nothing.
func New(o Options) *Feed {
	f := &Feed{options: o, log: o.Log, hinted: make(chan struct{}, 1), woken: make(chan chan struct{}, mostWoken), renewed: make(chan struct{}, 1)}
	f.config.Store(&o.Config)
	f.sight.began = time.Now()
	return f
}

// Reconfigure puts another configuration in force. One with another Key makes a connection of its own.
func (f *Feed) Reconfigure(c Config) {
	before := f.config.Swap(&c)
	if before.Key != c.Key || before.Notify != c.Notify || before.Logical != c.Logical {
		f.nudge(f.renewed)
	}
}

// Woken says that this instance has just let a write through, of which rows may have come into sight: it looks at once, and consumes what it
// finds. Then, or where it cannot, the channel is closed; who waits for it should not do so for long.
func (f *Feed) Woken() <-chan struct{} {
	done := make(chan struct{})
	if f.sight.up.Load() {
		select {
		case f.woken <- done:
			return done
		default: // so many wait that the next look is late anyway
		}
	}
	close(done)
	return done
}

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
	if key := f.config.Load().Key; key != f.lostOf {
		f.lost, f.lostOf = -1, key
	}
	if of := f.config.Load(); f.slots.key != of.Key || f.slots.of != of.Logical {
		f.slots = slotMemory{key: of.Key, of: of.Logical, timeout: fullTimeout, gaps: map[string]bool{}}
	}
	if of := f.config.Load(); f.others.key != of.Key+" "+of.Slot {
		f.others = others{key: of.Key + " " + of.Slot, until: f.others.until, times: f.others.times}
	}
	for pause := retryFirst; ctx.Err() == nil; {
		s := &session{feed: f, waiting: map[int64]left{}}
		err := s.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.worked {
			pause = retryFirst
		}
		kind := lookFailed
		if f.sight.up.Swap(false); s.conn == nil {
			kind = connectionFailed
		}
		f.count(kind)
		f.tell(kind, "changes in PostgreSQL are not seen; it is tried again", "error", err)
		sleep(ctx, jittered(pause))
		pause = min(2*pause, retryMost)
	}
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
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d) }
