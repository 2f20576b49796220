package fill

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/store"
)

const (
	// writeTimeout bounds how long a copy may take on its way to the tiers below memory.
	writeTimeout = 5 * time.Second
	// maxWriting is how many new copies may be on that way. What comes on top stays in memory: a tier that is slow must not pile
	// up copies that memory would otherwise let go of.
	maxWriting = 128
	// maxWarming is how many of the copies that a tier has lost are written to it at a time.
	maxWarming = 4
	// watchEvery is how often a look is taken whether a tier has come back.
	watchEvery = time.Second
)

// tiers are what is below the memory of the process: larger, slower, and it may fail. Requests never wait for it; fills wait to
// look into it, and copies are written to it behind their backs. All fields are set once; the places and the throttle have locks
// of their own.
type tiers struct {
	store    *store.Store
	lease    *invalidation.Lease // nil: always holds
	logger   *slog.Logger
	lifetime context.Context // bounds every write
	tasks    *tasks          // the writes under way

	writing chan struct{} // a place for each new copy on its way down
	warming chan struct{} // a place for each copy on its way to a tier that has lost it
	trouble observe.Throttle
}

// promote brings what the nearest tier has for a request header into memory, and finds it there, for the caller to release. It finds
// nothing where there are no tiers, or what they hold may have been purged for all that is known here. A tier that fails costs a miss.
func (t *tiers) promote(ctx context.Context, r *Route, key string, h http.Header, now time.Time) store.Found {
	if !t.store.Deep() || !t.lease.Valid(now) {
		return store.Found{}
	}
	found, err := t.store.Promote(ctx, key, h, now, r.SelectingUnlisted()...)
	t.failed("copy not recalled", r, err)
	return found
}

// write hands what memory holds for a request header to the tiers. Nobody waits for it. done is told, in its own time, whether
// the copy got there.
func (t *tiers) write(r *Route, key string, h http.Header, done func(store.ClaimResult)) {
	if !t.store.Deep() {
		done(store.Unshared)
		return
	}
	how := store.Unshared
	write := func() {
		ctx, cancel := context.WithTimeout(t.lifetime, writeTimeout)
		defer cancel()
		err := t.store.WriteBelow(ctx, key, h)
		t.failed("copy not kept below memory", r, err)
		if err == nil {
			how = store.Shared
		}
	}
	if !t.within(t.writing, write, func() { done(how) }) {
		t.tasks.Go(func() { done(store.Unshared) })
	}
}

// warm writes a copy that was found under a storage key to the tiers, which have lost it. Nobody waits for it. Copies that find no
// place are offered again by their next readers. The caller has a reference to the copy, and the task one of its own.
func (t *tiers) warm(r *Route, key string, found store.Found) {
	write := func() {
		ctx, cancel := context.WithTimeout(t.lifetime, writeTimeout)
		defer cancel()
		t.failed("copy not written below memory again", r, t.store.WriteFoundBelow(ctx, key, found))
	}
	found.Copy.Hold()
	if !t.within(t.warming, write, found.Release) {
		t.store.StillLacks(found.Copy)
		found.Release()
	}
}

// within runs work and then after as a task, if there is a place for it.
func (t *tiers) within(places chan struct{}, work, after func()) bool {
	select {
	case places <- struct{}{}:
	default:
		return false
	}
	started := t.tasks.Go(func() {
		defer after()
		defer func() { <-places }()
		work()
	})
	if !started {
		<-places
	}
	return started
}

// watch notices when a tier has come back: it may have lost what it held, and memory has some of that.
func (t *tiers) watch(ctx context.Context) {
	if !t.store.Deep() {
		return
	}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for down := t.store.Down(); ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		before := down
		if down = t.store.Down(); before && !down {
			t.store.Rewarm()
		}
	}
}

// failed tells of a tier that failed, some of the times. That one is down is said by whoever watches over it.
func (t *tiers) failed(what string, r *Route, err error) {
	if err == nil || errors.Is(err, store.ErrDown) || errors.Is(err, context.Canceled) {
		return
	}
	if ok, skipped := t.trouble.Pass(time.Now()); ok {
		t.logger.Warn(what, "route", r.Name, "error", err, "more_since_last", skipped)
	}
}
