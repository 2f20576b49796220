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
	// retryFirst and retryMost are the shortest and the longest pause after a failure. Each pause is twice the one
	// before.
	retryFirst, retryMost = 100 * time.Millisecond, 5 * time.Second
	// patience is how long an instance that is not preferred leaves a row to the preferred one. standIn is how long the
	// instance consumes at once after patience ran out.
	patience, standIn = time.Second, 10 * time.Second
	// aside is the least pause between looks of an instance that is not preferred.
	aside = time.Second
	// fullEvery is the least pause between two looks at everything, whatever the looks in between have seen. Full looks
	// take at most one part in fullShare of the time.
	fullEvery, fullShare = 30 * time.Second, 50
	// progressPause is the least pause between two updates of cacheproxy.consumed.
	progressPause = time.Second
	// mostWoken bounds the writes that wait for a look at the same time.
	mostWoken = 1024
	// mostWaiting bounds the rows that are left for another instance at the same time.
	mostWaiting = 10_000
)

// Config is the part of the options that a reload may change.
type Config struct {
	// Source returns where the database is. The feed calls Source for each connection, from several goroutines at once.
	Source   func() (*pgx.ConnConfig, error)
	Key      string // equal keys mean an equal Source
	Mappings []*postgres.Mapping
	Settle   time.Duration // the longest of all upstreams, for changes that may concern any of them
	Poll     time.Duration // the pause between two looks of a preferred instance
	Notify   bool          // the feed listens for hints
	// Logical names the slot that tells of changes; empty: triggers tell.
	postgres.Logical
}

// Options are the dependencies of a Feed. All are required except the hooks of tests.
type Options struct {
	Config Config
	Log    invalidation.Log
	Logger *slog.Logger
	// Preferred reports whether this instance consumes at once. Preferred must be safe for concurrent use.
	Preferred func() bool
	// Alone says that no other instance shares the log, so that no other instance may consume.
	Alone  bool
	Purged func(took time.Duration) // called when a purge holds
	Held   func(took time.Duration) // called when what one row names is purged, with the age of the row
	// Pass reports whether a line about an event that may come often may be logged.
	Pass func(Kind) bool

	between func() // hook of tests: called after a purge holds, and before the changes are deleted
}

// Feed purges the copies that changes of a database make unusable. The methods are safe for concurrent use.
type Feed struct {
	options Options
	log     invalidation.Log
	config  atomic.Pointer[Config]
	sight   sight
	untold  untold
	// hinted asks for a look. renewed says that the configuration has changed. Each has room for one signal.
	hinted, renewed chan struct{}
	woken           chan chan struct{} // requests for a look; the look closes the channel that was sent
	// lost is the value of cacheproxy.lost when the lossy tables were purged last, in the database lostOf. Negative:
	// not read yet. Both outlive connections, since changes are lost between connections as well. Only the goroutine of
	// follow uses them.
	lost   float64
	lostOf string
	slots  slotMemory
	others others
}

// New makes a feed, and connects to nothing.
func New(o Options) *Feed {
	f := &Feed{options: o, log: o.Log, hinted: make(chan struct{}, 1), woken: make(chan chan struct{}, mostWoken), renewed: make(chan struct{}, 1)}
	f.config.Store(&o.Config)
	f.sight.began = time.Now()
	return f
}

// Reconfigure puts another configuration in force. Another Key, Notify or Logical ends the connections, and Run makes
// new ones.
func (f *Feed) Reconfigure(c Config) {
	before := f.config.Swap(&c)
	if before.Key != c.Key || before.Notify != c.Notify || before.Logical != c.Logical {
		f.nudge(f.renewed)
	}
}

// Woken asks for a look after this instance has let a write through, whose rows may have become visible. The look
// consumes what it finds, even if the instance is not preferred. Then, or if no look is possible, the channel is
// closed. A caller should bound its wait.
func (f *Feed) Woken() <-chan struct{} {
	done := make(chan struct{})
	if f.sight.up.Load() {
		select {
		case f.woken <- done:
			return done
		default: // with so many waiting, the next look is late anyway
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

// tell logs an event that may come often, if Pass permits.
func (f *Feed) tell(k Kind, text string, args ...any) {
	if f.options.Pass(k) {
		f.options.Logger.Warn(text, args...)
	}
}

// sleep waits for d, and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d) }
