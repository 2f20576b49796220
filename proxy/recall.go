package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

const (
	// sinkTimeout bounds how long a copy may take on its way to the tiers below memory.
	sinkTimeout = 5 * time.Second
	// maxSinking is how many copies may be on that way. What comes on top stays in memory: a tier that is slow must not pile
	// up copies that memory would otherwise let go of.
	maxSinking = 128
	// maxRewarming is how many of the copies that a tier has lost are written to it at a time.
	maxRewarming = 4
	// watchEvery is how often a look is taken whether a tier has come back.
	watchEvery = time.Second
)

// sinks are the copies on their way to the tiers below memory.
type sinks struct {
	places    chan struct{} // for new copies
	rewarming chan struct{} // for those that a tier had before
	trouble   throttle      // of the lines about tiers that fail
}

func newSinks() sinks {
	return sinks{places: make(chan struct{}, maxSinking), rewarming: make(chan struct{}, maxRewarming)}
}

// elsewhere looks for the answer where it costs the origin nothing. It gives what is to be handed out in place of the
// origin's answer; nil: the origin has to be asked.
func (c *call) elsewhere() *fill {
	if err := c.turn(); err != nil {
		return c.failed(err)
	}
	if c.recalled() || c.claimed() {
		res := &fill{again: true}
		c.disclaim(store.Landed)
		c.p.flights.land(c.f, res, false)
		c.end()
		return res
	}
	if c.p.withholds(c.q.route, time.Now()) {
		return c.refused(policy.StoreUnavailable, errors.New("fetch from upstream: "+withheld))
	}
	return nil
}

// recalled looks into the tiers below memory before the origin is asked: once for all who wait for the flight. It reports
// whether memory has a fresh copy now, and for a renewal, whether that is another than the one to be renewed. One that is
// not fresh any more is at least something that the origin may confirm. A tier that fails costs a miss.
func (c *call) recalled() bool {
	p, q, now := c.p, c.q, time.Now()
	if !p.store.Deep() || !p.lease.Valid(now) {
		return false
	}
	found, err := p.store.Recall(c.ctx, q.key, q.forward, now, q.route.selectingUnlisted()...)
	p.tierFailed("copy not recalled", q.route, err)
	renews := q.why == policy.Renewal
	if found.Copy == nil || renews && found.Copy == q.previous {
		return false
	}
	use, _ := found.Copy.Usable(p.ledger, now)
	if use >= httpcache.NeedsValidation && policy.Confirmable(q.method) {
		q.base, q.baseKey, q.previous = found.Copy, found.Key, found.Copy
	}
	return use == httpcache.Fresh
}

// sink hands a new copy to the tiers below memory, and the claim with it. Nobody waits for it.
func (c *call) sink() {
	claim := c.claim
	c.claim = nil
	c.p.sink(c.q.route, c.q.key, c.q.forward, func(how store.Landing) {
		if claim != nil {
			claim.Release(how)
		}
	})
}

// sink hands what memory holds for a request to the tiers below. done is told, in its own time, whether it got there.
func (p *Proxy) sink(r *route, key string, h http.Header, done func(store.Landing)) {
	if !p.store.Deep() {
		done(store.Unshared)
		return
	}
	how := store.Unshared
	write := func() {
		ctx, cancel := context.WithTimeout(p.lifetime, sinkTimeout)
		defer cancel()
		err := p.store.Sink(ctx, key, h)
		p.tierFailed("copy not kept below memory", r, err)
		if err == nil {
			how = store.Landed
		}
	}
	if !p.within(p.sinks.places, write, func() { done(how) }) {
		p.tasks.Go(func() { done(store.Unshared) })
	}
}

// within runs f and then after as a task, if there is a place for it.
func (p *Proxy) within(places chan struct{}, f, after func()) bool {
	select {
	case places <- struct{}{}:
	default:
		return false
	}
	started := p.tasks.Go(func() {
		defer after()
		defer func() { <-places }()
		f()
	})
	if !started {
		<-places
	}
	return started
}

// rewarm writes a copy that was read to the tiers below, which have lost it. Copies that find no place are offered again by
// their next readers.
func (ex *exchange) rewarm(found candidate) {
	p, r, c := ex.p, ex.route, found.Copy
	key := string(ex.key)
	found.Key = strings.Clone(found.Key) // it may lie in a buffer of this request
	write := func() {
		ctx, cancel := context.WithTimeout(p.lifetime, sinkTimeout)
		defer cancel()
		p.tierFailed("copy not written below memory again", r, p.store.SinkFound(ctx, key, found.Found))
	}
	if !p.within(p.sinks.rewarming, write, func() {}) {
		p.store.StillLacks(c)
	}
}

// watchTiers notices when a tier has come back: it may have lost what it held, and memory has some of that.
func (p *Proxy) watchTiers(ctx context.Context) {
	if !p.store.Deep() {
		return
	}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for down := p.store.Down(); ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		before := down
		if down = p.store.Down(); before && !down {
			p.store.Rewarm()
		}
	}
}

// tierFailed tells of a tier that failed, some of the times. That one is down is said by whoever watches over it.
func (p *Proxy) tierFailed(what string, r *route, err error) {
	if err == nil || errors.Is(err, store.ErrDown) || errors.Is(err, context.Canceled) {
		return
	}
	if ok, skipped := p.sinks.trouble.pass(time.Now()); ok {
		p.logger.Warn(what, "route", r.Name, "error", err, "more_since_last", skipped)
	}
}
