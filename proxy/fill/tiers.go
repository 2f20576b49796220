package fill

import (
	"context"
	"errors"
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
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

var errWithheld = errors.New("fetch from upstream: the shared store cannot be reached, and this route's reads do not go to the upstream without it")

// lookupTiers looks for the answer where it costs the origin nothing. found says that the response is to be handed out in place
// of the origin's; else the origin has to be asked.
func (c *running) lookupTiers() (res Response, found bool) {
	if err := c.turn(); err != nil {
		return c.failed(err), true
	}
	if c.promoted() || c.claimed() {
		res = Response{Again: true}
		c.disclaim(store.Landed)
		c.flight.publish(res, false)
		c.end()
		return res, true
	}
	if c.Withholds(c.q.Route, time.Now()) {
		return c.refused(policy.StoreUnavailable, errWithheld), true
	}
	return Response{}, false
}

// promoted looks into the tiers below memory before the origin is asked: once for all who wait for the flight. It reports
// whether memory has a fresh copy now, and for a renewal, whether that is another than the one to be renewed. One that is
// not fresh any more is at least something that the origin may confirm. A tier that fails costs a miss.
func (c *running) promoted() bool {
	q, now := c.q, time.Now()
	if !c.store.Deep() || !c.lease.Valid(now) {
		return false
	}
	found, err := c.store.Recall(c.ctx, q.Key, q.Forward, now, q.Route.SelectingUnlisted()...)
	c.tierFailed("copy not recalled", q.Route, err)
	renews := q.Why == policy.Renewal
	if found.Copy == nil || renews && found.Copy == c.previous {
		return false
	}
	use, _ := found.Copy.Usable(c.ledger, now)
	if use >= httpcache.NeedsValidation && policy.Confirmable(q.Method) {
		c.base, c.baseKey, c.previous = found.Copy, found.Key, found.Copy
	}
	return use == httpcache.Fresh
}

// writeTiers hands what memory holds for a request header to the tiers below. Nobody waits for it. done is told, in its own
// time, whether the copy got there.
func (f *Filler) writeTiers(r *Route, key string, h http.Header, done func(store.ClaimResult)) {
	if !f.store.Deep() {
		done(store.Unshared)
		return
	}
	how := store.Unshared
	write := func() {
		ctx, cancel := context.WithTimeout(f.lifetime, writeTimeout)
		defer cancel()
		err := f.store.Sink(ctx, key, h)
		f.tierFailed("copy not kept below memory", r, err)
		if err == nil {
			how = store.Landed
		}
	}
	if !f.within(f.writing, write, func() { done(how) }) {
		f.tasks.Go(func() { done(store.Unshared) })
	}
}

// within runs f and then after as a task, if there is a place for it.
func (f *Filler) within(places chan struct{}, work, after func()) bool {
	select {
	case places <- struct{}{}:
	default:
		return false
	}
	started := f.tasks.Go(func() {
		defer after()
		defer func() { <-places }()
		work()
	})
	if !started {
		<-places
	}
	return started
}

// Rewarm writes a copy that was found under a storage key to the tiers below, which have lost it. Nobody waits for it. Copies that
// find no place are offered again by their next readers.
func (f *Filler) Rewarm(r *Route, key string, found store.Found) {
	write := func() {
		ctx, cancel := context.WithTimeout(f.lifetime, writeTimeout)
		defer cancel()
		f.tierFailed("copy not written below memory again", r, f.store.SinkFound(ctx, key, found))
	}
	if !f.within(f.warming, write, func() {}) {
		f.store.StillLacks(found.Copy)
	}
}

// watchTiers notices when a tier has come back: it may have lost what it held, and memory has some of that.
func (f *Filler) watchTiers(ctx context.Context) {
	if !f.store.Deep() {
		return
	}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for down := f.store.Down(); ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		before := down
		if down = f.store.Down(); before && !down {
			f.store.Rewarm()
		}
	}
}

// tierFailed tells of a tier that failed, some of the times. That one is down is said by whoever watches over it.
func (f *Filler) tierFailed(what string, r *Route, err error) {
	if err == nil || errors.Is(err, store.ErrDown) || errors.Is(err, context.Canceled) {
		return
	}
	if ok, skipped := f.trouble.Pass(time.Now()); ok {
		f.logger.Warn(what, "route", r.Name, "error", err, "more_since_last", skipped)
	}
}
