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
	// writeTimeout bounds how long the write of a copy to the tiers below memory may take.
	writeTimeout = 5 * time.Second
	// maxWriting is how many new copies may be on their way at a time. Further copies are not written: a slow tier
	// must not hold copies in memory that would be evicted otherwise.
	maxWriting = 128
	// maxWarming is how many of the copies that a tier has lost are written to the tier at a time.
	maxWarming = 4
	// watchEvery is how often watch checks whether a tier has come back.
	watchEvery = time.Second
)

// tiers is the access of fills to the tiers below the memory of the process. The tiers are larger than memory,
// slower, and may fail. Fills wait for look-ups in the tiers; copies are written to the tiers in the background. All
// fields are set once; the channels and the throttle are safe for concurrent use.
type tiers struct {
	store    *store.Store
	lease    *invalidation.Lease // nil: always holds
	logger   *slog.Logger
	lifetime context.Context // bounds every write
	tasks    *tasks          // counts the writes under way

	writing chan struct{} // a place for each new copy on its way down
	warming chan struct{} // a place for each copy on its way to a tier that has lost the copy
	trouble observe.Throttle
}

// promote brings the copy that the nearest tier has for a request header into memory, and looks the copy up there.
// The caller must release the result. promote finds nothing if the store has no tiers, or this instance has no lease:
// purges may then be unknown here. The error of a tier is logged, and counts as a tier without a copy.
func (t *tiers) promote(ctx context.Context, r *Route, key string, h http.Header, now time.Time) store.Found {
	if !t.store.Deep() || !t.lease.Valid(now) {
		return store.Found{}
	}
	found, err := t.store.Promote(ctx, key, h, now, r.SelectingUnlisted()...)
	t.failed("copy not recalled", r, err)
	return found
}

// write writes the copy that memory has for a request header to the tiers, in the background. write calls done at
// once if the store has no tiers. Otherwise a task calls done once, with the result of the write.
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

// warm writes a copy that was found under a storage key to the tiers, which have lost the copy, in the background. If
// too many copies are on their way, the copy's next reader offers the copy again. The caller must have a reference to
// the copy; the task takes its own.
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

// within runs work and then after as a task. False: places is full, or tasks are closed, and neither runs.
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

// watch has the copies in memory written again when a tier that was down has come back, since that tier may have lost
// the copies. watch returns when ctx ends.
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

// failed logs the error of a tier, throttled. ErrDown is not logged: the tier itself logs that the tier is down.
func (t *tiers) failed(what string, r *Route, err error) {
	if err == nil || errors.Is(err, store.ErrDown) || errors.Is(err, context.Canceled) {
		return
	}
	if ok, skipped := t.trouble.Pass(time.Now()); ok {
		t.logger.Warn(what, "route", r.Name, "error", err, "more_since_last", skipped)
	}
}
