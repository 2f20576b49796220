package instance

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"cacheproxy/config"
	"cacheproxy/invalidation"
	"cacheproxy/invalidation/postgres"
	"cacheproxy/invalidation/postgres/feed"
	"cacheproxy/observe"
)

// changes has the feed of the changes in the database behind the APIs. A nil *changes belongs to an instance without a
// feed.
type changes struct {
	*feed.Feed
	maxLag    atomic.Int64 // in nanoseconds: how long changes may go unseen before the feed is blind
	throttles map[feed.Kind]*observe.Throttle
	life      context.Context // the feed's, which ends before the instance leaves the fleet
	end       context.CancelFunc
	ended     chan struct{} // closed when run has returned
}

// newFeed makes the feed of the configuration. newFeed dials nothing.
func (i *Instance) newFeed() *changes {
	if i.snapshot.Postgres == nil || len(i.snapshot.Postgres.Mappings) == 0 {
		return nil
	}
	c := &changes{throttles: map[feed.Kind]*observe.Throttle{}, ended: make(chan struct{})}
	c.life, c.end = context.WithCancel(context.Background())
	for _, kind := range feed.Kinds() {
		c.throttles[kind] = new(observe.Throttle)
	}
	metrics := i.metrics.Feed(c.gauges)
	c.maxLag.Store(int64(i.snapshot.Postgres.MaxLag))
	c.Feed = feed.New(feed.Options{
		Config: c.config(i.snapshot), Log: i.entries, Logger: i.log, Preferred: i.fleet.first, Alone: i.fleet == nil, Held: metrics.Held,
		Purged: func(took time.Duration) { i.metrics.Purge("feed", "row", took) },
		Pass: func(kind feed.Kind) bool {
			ok, _ := c.throttles[kind].Pass(time.Now())
			return ok
		},
	})
	return c
}

// feedFits fails where a reload would bring the first feeds of a database that has served archives alone.
func (i *Instance) feedFits(s *config.Snapshot) error {
	if i.feed == nil && i.snapshot.Postgres != nil && s.Postgres != nil && len(s.Postgres.Mappings) > 0 {
		return errors.New("postgres.feeds are the first ones, which needs a restart")
	}
	return nil
}

// run consumes changes until ctx ends or stop is called.
func (c *changes) run(ctx context.Context) error {
	defer close(c.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	return c.Run(ctx)
}

// stop ends the feed and returns once the feed makes no more purges: an instance that has left the fleet must not write
// into the log. stop must not be called before run.
func (c *changes) stop() {
	if c != nil {
		c.end()
		<-c.ended
	}
}

func (c *changes) config(s *config.Snapshot) feed.Config {
	p := s.Postgres
	return feed.Config{Source: p.Source, Key: p.Key(), Mappings: p.Mappings, Settle: s.LongestSettle(), Poll: p.Poll, Notify: p.Notify, Logical: p.Logical}
}

// between prepares the change from one configuration to another. Until the new configuration is in force, a mapping
// that is not in both purges all copies of its table. Names rendered for one configuration could miss copies of the
// other.
func (c *changes) between(before, after *config.Snapshot) {
	if c == nil || before.Postgres == nil || after.Postgres == nil {
		return
	}
	common := c.config(before)
	common.Mappings = slices.DeleteFunc(slices.Clone(common.Mappings), func(m *postgres.Mapping) bool {
		return !slices.ContainsFunc(after.Postgres.Mappings, func(o *postgres.Mapping) bool { return o.ID == m.ID })
	})
	c.Reconfigure(common)
}

// reconfigure puts another configuration in force. Adding or removing the feed as a whole needs a restart.
func (c *changes) reconfigure(s *config.Snapshot) {
	if c == nil || s.Postgres == nil {
		return
	}
	c.maxLag.Store(int64(s.Postgres.MaxLag))
	c.Reconfigure(c.config(s))
}

// blind returns a func for requests that reports whether changes may be unknown; nil: no table feeds their routes.
func (c *changes) blind(s *config.Snapshot) func(time.Time) bool {
	switch {
	case s.Postgres == nil:
		return nil
	case c == nil: // the feed waits for a restart
		return func(time.Time) bool { return true }
	}
	return c.isBlind
}

func (c *changes) isBlind(now time.Time) bool { return c.Blind(now, time.Duration(c.maxLag.Load())) }

// gauges is the state of the feed for metrics.
func (c *changes) gauges() observe.FeedGauges {
	s := c.State()
	return observe.FeedGauges{
		Up: s.Up, Blind: c.isBlind(time.Now()), Lag: s.Lag, Waiting: s.Waiting, Owed: s.Owed, Missing: s.Missing, Rows: s.Rows, Failed: s.Failed,
		Retained: s.Retained, Shared: s.Shared,
	}
}

// feedView is the state of the feed in GET /config.
type feedView struct {
	Up           bool   `json:"up"`
	Blind        bool   `json:"blind"`
	Lag          string `json:"lag"`
	Waiting      int64  `json:"waiting"`
	Owed         int64  `json:"owed"`
	NotInstalled int64  `json:"not_installed"`
	Shared       bool   `json:"shared"`
	Rows         uint64 `json:"rows"` // consumed by this instance
}

func (c *changes) view(now time.Time) *feedView {
	if c == nil {
		return nil
	}
	s := c.State()
	return &feedView{s.Up, c.isBlind(now), s.Lag.Round(time.Millisecond).String(), s.Waiting, s.Owed, s.Missing, s.Shared, s.Rows}
}

// first reports whether this instance does the work that one live instance does for all. While instances disagree on
// who is live, several may do the work, or none for a while.
func (f *fleet) first() bool {
	if f == nil {
		return true
	}
	live := f.entries.State().Instances
	return len(live) == 0 || slices.Min(live) == f.name
}

// waking wraps the log for clients' writes, after which rows of the database have changed as well.
func (c *changes) waking(log invalidation.Log) invalidation.Log {
	if c == nil {
		return log
	}
	return wakingLog{log, c.Feed}
}

// wakingLog has the feed query the database when a write has succeeded, while the write's own invalidation is being
// confirmed. The database echoes the write as a row in the outbox with the same names. The feed then consumes the row
// before the client has its answer, rather than after the next copy is stored. A row that becomes visible later, or is
// not consumed in time, costs that copy: nothing proves that the row was there before the fetch.
type wakingLog struct {
	invalidation.Log
	feed *feed.Feed
}

// Invalidate implements invalidation.Log.
func (w wakingLog) Invalidate(ctx context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	done := w.feed.Woken()
	r, err := w.Log.Invalidate(ctx, o)
	return r, w.awaited(ctx, done, o, err)
}

// End implements invalidation.Log.
func (w wakingLog) End(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	if o.Undone {
		return w.Log.End(ctx, f, o)
	}
	done := w.feed.Woken()
	r, err := w.Log.End(ctx, f, o)
	return r, w.awaited(ctx, done, o, err)
}

// echoWait bounds how long the answer to a write waits for the feed to consume the write's echo.
const echoWait = 25 * time.Millisecond

// awaited waits for the feed's query after a write that succeeded, and returns err.
func (w wakingLog) awaited(ctx context.Context, done <-chan struct{}, o invalidation.Order, err error) error {
	if err != nil || o.Wait != invalidation.WaitAll {
		return err
	}
	select {
	case <-done:
	case <-time.After(echoWait):
	case <-ctx.Done():
	}
	return err
}
