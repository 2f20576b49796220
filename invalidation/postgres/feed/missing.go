package feed

import (
	"context"
	"fmt"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/policy"
)

// gapsEvery is how often the catalog is asked whether triggers are where they have to be: often enough that a feed which they have been
// taken from is blind within any max_feed_lag, which is five seconds at least.
const gapsEvery = 2 * time.Second

// untold is of which mappings nothing tells, as far as it is known. It outlives a connection, so that a mapping which is mended while there
// is none is not forgotten. Only who looks uses it.
type untold struct {
	missing map[string]bool   // mappings of which nothing tells
	gaps    map[string]string // what the catalog said last
	of      *Config           // the configuration that it was asked for
	next    time.Time         // when it is asked again
}

// missing notes of which mappings nothing tells: they are not installed, or their triggers are not what was installed, where it was. The
// feed is blind as long as there are any. What has changed meanwhile has left no row, whoever has mended it: so the tag of the
// table is purged before the feed sees again. That the triggers are seen says that each change which they did not tell of can be
// read: creating and enabling a trigger waits for whoever is changing the table.
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

// nothingInstalled notes that nothing tells of any mapping: there is no outbox.
func (f *Feed) nothingInstalled() {
	config := f.config.Load()
	f.untold.missing = map[string]bool{}
	for _, m := range config.Mappings {
		f.untold.missing[m.ID] = true
	}
	f.count(notInstalled)
	f.sight.missing.Store(int64(len(config.Mappings)))
}
