package feed

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"cacheproxy/invalidation/postgres/pgoutput"
	"cacheproxy/policy"
)

// An instance without a fleet has to be the only one that consumes: what another has taken it never sees, and serves the copies from before for
// as long as they live. So whoever is alone leaves a mark before it takes something, and knows that mark again.
//
// With triggers the mark is cacheproxy.consumed, which says how far the outbox is consumed, and is an estimate (package postgres, W1): nextval
// before rows are deleted, and every beatEvery, leaves it a little ahead, by no more than mostAhead. One that is not as it was left was moved
// by somebody else. A sequence belongs to no transaction and to no session: it serves behind a pooler as well, nothing has to be cleared away
// of who has ended, and who starts takes it as it is.
//
// The race: another moves it after this instance has looked, and this one moves it again before it has looked again. Then nextval has come
// further than by one. setval would hide that; but who is hidden by it finds the mark moved itself, and moves it again within beatEvery.
//
// A slot is a mark itself: somebody else has advanced it, and written the milestone for it.
//
// As long as somebody else is there, and for sharedHold, the feed is blind; then all copies that it feeds are confirmed.
const (
	// beatEvery is how often a mark is left where nothing is consumed, so that others know before they miss something.
	beatEvery = time.Second
	// mostAhead is how far the mark may be ahead of the outbox: one part in a hundred of what may wait there.
	mostAhead = 1000
	// sharedHold is for how long nobody else may be noticed until nobody else is there.
	sharedHold = 5 * time.Second
)

// others is what is known of who else consumes, over connections. Only who follows uses it.
type others struct {
	key    string // of the database, and the slot
	known  bool   // the mark is
	mark   int64
	placed pgoutput.LSN // where the slot stands; zero: it was not seen yet
	next   time.Time    // when a mark is left again
	until  time.Time    // when nobody else is there any more
	times  int          // that somebody else was noticed, one after the other
}

// notice notes that somebody else consumes. It is told from the second time on: a server that has crashed has a sequence go on a little further.
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

// unshared has all copies confirmed once nobody else is there any more: what they have taken is not known.
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

// marked compares the mark with how it was left.
func (f *Feed) marked(is int64) {
	if o := &f.others; f.options.Alone {
		if o.known && o.mark != is {
			f.notice()
		}
		o.known, o.mark = true, is
	}
}

// beat leaves a mark, where it is time to or something is about to be taken.
func (s *outbox) beat(ctx context.Context, taking bool) error {
	f, o := s.feed, &s.feed.others
	if !f.options.Alone || !taking && time.Now().Before(o.next) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var is int64
	known := o.known
	o.known = false // until it is known what has become of it
	if err := s.conn.QueryRow(ctx, "select nextval('cacheproxy.consumed')").Scan(&is); err != nil {
		return fmt.Errorf("leave a mark: %w", err)
	}
	o.known, o.mark = known, o.mark+1
	f.marked(is)
	o.next = time.Now().Add(beatEvery)
	return nil
}

// stands notes where a slot stands that its consumers have left there.
func (f *Feed) stands(at pgoutput.LSN) {
	if o := &f.others; f.options.Alone {
		if o.placed != 0 && o.placed != at {
			o.times++ // a milestone is no accident
			f.notice()
		}
		o.placed = at
	}
}
