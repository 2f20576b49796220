package feed

import (
	"context"
	"fmt"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"
)

// gapsEvery is the pause between two looks at the catalog for the triggers. The least max_feed_lag is five seconds, so
// a feed whose triggers are removed is blind within any max_feed_lag.
const gapsEvery = 2 * time.Second

// untold has the mappings of which nothing tells, by the last look. The record outlives a connection, so that a mapping
// that is mended while no connection exists is not forgotten. Only the goroutine of follow uses it.
type untold struct {
	missing map[string]bool   // mappings of which nothing tells
	gaps    map[string]string // the faults in the catalog at the last look
	of      *Config           // the configuration of that look
	next    time.Time         // when the next look at the catalog is due
}

// missing records the mappings of which nothing tells: mappings that are not installed, or whose triggers are not as
// installed. The feed is blind as long as there are any. Changes in the meantime have left no row, whoever has mended
// the mapping. So the tag of the table is purged before the feed counts as seeing again. A look that sees the triggers
// also sees each untold change: creating and enabling a trigger waits for transactions that are changing the table.
func (s *outbox) missing(ctx context.Context, installed map[string]bool) error {
	f, config := s.feed, s.feed.config.Load()
	u := &f.untold
	if now := time.Now(); !s.worked || u.of != config || !now.Before(u.next) {
		asked, cancel := context.WithTimeout(ctx, lookTimeout)
		gaps, err := postgres.Gaps(asked, s.conn, config.Mappings)
		cancel()
		if err != nil {
			return fmt.Errorf("look for triggers: %w", err)
		}
		u.gaps, u.of, u.next = gaps, config, now.Add(gapsEvery)
	}
	missing := map[string]bool{}
	var mended []policy.Member
	for _, m := range config.Mappings {
		_, is := installed[m.ID]
		why, gap := u.gaps[m.ID]
		switch {
		case !is || gap:
			missing[m.ID] = true
			if !is {
				why = "it is not installed"
			}
			f.tell(notInstalled, "changes of this table may go untold; run: cacheproxy pg install", "mapping", m.ID, "why", why)
		case u.missing[m.ID]:
			mended = append(mended, m.Whole())
		}
	}
	if len(missing) > 0 {
		f.count(notInstalled)
		f.sight.missing.Store(int64(len(missing) + len(mended)))
	}
	if len(mended) > 0 {
		if err := f.untilHeld(ctx, f.unknown(mended)); err != nil {
			return err
		}
	}
	u.missing = missing
	f.sight.missing.Store(int64(len(missing)))
	return nil
}

// nothingInstalled records that nothing tells of any mapping: the outbox does not exist.
func (f *Feed) nothingInstalled() {
	config := f.config.Load()
	f.untold.missing = map[string]bool{}
	for _, m := range config.Mappings {
		f.untold.missing[m.ID] = true
	}
	f.count(notInstalled)
	f.sight.missing.Store(int64(len(config.Mappings)))
}
