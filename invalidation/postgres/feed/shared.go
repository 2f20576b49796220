package feed

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"cacheproxy/invalidation/postgres/pgoutput"
	"cacheproxy/policy"
)

// An instance without a fleet marks what it consumes. Such an instance has to be the only consumer: the instance never
// sees the changes that another consumer takes, and serves the old copies for as long as they live. So an instance that
// is alone leaves a mark before it takes changes, and recognizes its mark.
//
// With triggers, the mark is cacheproxy.consumed, which estimates how far the outbox is consumed (package postgres,
// W1). nextval, before rows are deleted and every beatEvery, leaves the sequence a little ahead, by at most mostAhead.
// If the sequence has another value than this instance left, another consumer has moved it. A sequence belongs to no
// transaction and to no session. So the mark works through a pooler, nobody has to clean up after a consumer that
// ended, and a consumer that starts takes over the value that is there.
//
// The race: another consumer moves the mark after this instance has looked, and this instance moves the mark before it
// looks again. Then nextval returns more than one above the last mark, and this instance notices. setval would
// overwrite the other's move unseen; but then the other consumer finds the mark moved, and moves the mark again within
// beatEvery.
//
// The position of a slot is a mark by itself: another consumer that advances the slot writes the milestone for the
// advance. A slot at a place without a milestone is a gap, and no mark: somebody who consumes nothing has made or moved
// the slot. The instance that closes the gap writes the milestone for the place, and takes over the place as its own.
//
// While another consumer is there, and for sharedHold afterwards, the feed is blind. Then all copies that the feed
// covers are confirmed.
const (
	// beatEvery is the pause between marks while nothing is consumed, so that other consumers notice before they miss a
	// change.
	beatEvery = time.Second
	// mostAhead bounds how far the mark is ahead of the outbox: a hundredth of the rows that may wait in the outbox.
	mostAhead = 1000
	// sharedHold is the least time without a sign of another consumer until the feed counts as alone again.
	sharedHold = 5 * time.Second
)

// others is the knowledge about other consumers, across connections. Only the goroutine of follow uses it.
type others struct {
	key    string // the database and the slot
	known  bool   // mark is valid
	mark   int64
	placed pgoutput.LSN // where the slot stands; zero: not seen yet
	next   time.Time    // when the next mark is due
	until  time.Time    // when the other consumer counts as gone
	times  int          // how often in a row another consumer was noticed
}

// notice records that another consumer was noticed. The first time is not reported: after a crash of the server, a
// sequence may continue a little further ahead.
func (f *Feed) notice() {
	o := &f.others
	o.until = time.Now().Add(max(sharedHold, 3*f.config.Load().Poll))
	o.times++
	f.sight.shared.Store(true)
	if o.times < 2 {
		return
	}
	f.count(taken)
	if f.options.Pass(taken) {
		f.options.Logger.Log(context.Background(), slog.LevelError, "another instance consumes the changes of this database, and neither sees what the other takes: the feed is blind as long as both run; "+
			"have them share a Valkey (valkey.url), give each a slot of its own (postgres.source: logical), or end one")
	}
}

// unshared confirms all copies once the other consumer is gone: nobody knows which changes it has taken.
func (f *Feed) unshared(ctx context.Context) error {
	o := &f.others
	if o.times == 0 || time.Now().Before(o.until) {
		return nil
	}
	var tags []policy.Member
	for _, m := range f.config.Load().Mappings {
		tags = append(tags, m.Whole())
	}
	if err := f.untilHeld(ctx, f.unknown(tags)); err != nil {
		return err
	}
	if o.times > 1 {
		f.options.Logger.Info("no other instance consumes the changes of this database any more; what its tables feed is confirmed")
	}
	o.times = 0
	f.sight.shared.Store(false)
	return nil
}

// marked compares the mark with the value that this instance left.
func (f *Feed) marked(is int64) {
	if o := &f.others; f.options.Alone {
		if o.known && o.mark != is {
			f.notice()
		}
		o.known, o.mark = true, is
	}
}

// beat leaves a mark, if a mark is due or this instance is about to take changes.
func (s *outbox) beat(ctx context.Context, taking bool) error {
	f, o := s.feed, &s.feed.others
	if !f.options.Alone || !taking && time.Now().Before(o.next) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var is int64
	known := o.known
	o.known = false // until the outcome of nextval is known
	if err := s.conn.QueryRow(ctx, "select nextval('cacheproxy.consumed')").Scan(&is); err != nil {
		return fmt.Errorf("leave a mark: %w", err)
	}
	o.known, o.mark = known, o.mark+1
	f.marked(is)
	o.next = time.Now().Add(beatEvery)
	return nil
}

// stands records where a slot stands, at a place that its consumers left it at.
func (f *Feed) stands(at pgoutput.LSN) {
	if o := &f.others; f.options.Alone {
		if o.placed != 0 && o.placed != at {
			o.times++ // a milestone is never an accident, so the first time counts
			f.notice()
		}
		o.placed = at
	}
}
