package proxy

import (
	"context"
	"math/rand/v2"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

const (
	renewalWorkers = 16
	renewalQueue   = 1024
	// A copy that the origin failed to renew is left alone for renewalPause, then for twice as long each time, up to
	// maxRenewalPause. An origin may name a longer pause, up to maxRetryAfter.
	renewalPause    = 5 * time.Second
	maxRenewalPause = 5 * time.Minute
	maxRetryAfter   = time.Hour
	// leftPause is for how long a copy is left alone that another instance renews: until then that has not come up.
	leftPause = 250 * time.Millisecond
)

// renewals are copies that wait to be renewed in the background. A full queue drops what is offered: the copy is offered
// again by its next reader.
type renewals struct{ queue chan renewal }

type renewal struct {
	fetch *fetch
	key   string // of the flight
	known []invalidation.ID
	copy  *store.Copy
}

// due reports whether a copy is old enough to be renewed ahead of its expiry. Copies filled together become due apart:
// each has a place of its own in the first half of what is left after refresh_at.
func (ex *exchange) due(c *store.Copy) bool {
	at := ex.route.RefreshAt
	spread := float64((c.Digest^uint64(c.Life.Received.UnixNano()))*0x9E3779B97F4A7C15>>11) / (1 << 53)
	at += (1 - at) / 2 * spread
	return float64(c.Life.Age(ex.start)) >= at*float64(c.Life.Fresh)
}

// offer queues a copy for renewal on behalf of a request, which does not wait.
func (rs *renewals) offer(ex *exchange, found candidate, class upstream.Class) {
	c := found.Copy
	if !c.Use.StartRenewal(ex.start) {
		return
	}
	found.use, found.reason = httpcache.NeedsValidation, policy.Renewal
	r := renewal{fetch: ex.request(found, class, nil), key: ex.flightKey(found), known: ex.known(), copy: c}
	select {
	case rs.queue <- r:
	default:
		c.Use.EndRenewal(ex.start, 0)
	}
}

// renew works off the queue until ctx ends.
func (p *Proxy) renew(ctx context.Context) {
	for {
		select {
		case r := <-p.renewals.queue:
			p.renewOne(ctx, r)
		case <-ctx.Done():
			return
		}
	}
}

// renewOne fetches one copy anew, unless somebody does already or it has given way to another.
func (p *Proxy) renewOne(ctx context.Context, r renewal) {
	now := time.Now()
	if mode, _ := r.fetch.route.mode(now); mode != policy.On || p.withholds(r.fetch.route, now) {
		r.copy.Use.EndRenewal(now, 0)
		return // switched since it was offered: nobody will read the copy; or the origin is to be left alone
	}
	pause := time.Duration(0)
	defer func() { r.copy.Use.EndRenewal(time.Now(), pause) }()
	replaced := func() bool { return p.store.Lookup(r.fetch.key, r.fetch.forward, time.Now()).Copy != r.copy }
	t := p.flights.board(passenger{key: r.key, known: r.known, limit: 1 << 30}, replaced, func(f *flight) *fill { return p.fill(f, r.fetch) })
	if t.how != leads {
		if t.result != nil {
			p.flights.leave(t.flight)
		}
		return
	}
	var res *fill
	select {
	case got := <-t.result:
		res = answerOf(got)
	case <-ctx.Done():
		p.abandon(t)
		return
	}
	if res.again {
		if !replaced() {
			pause = leftPause
		}
		return
	}
	if res.reason != policy.NoReason || httpcache.Passing(res.status) {
		asked := min(httpcache.RetryAfter(res.header, time.Now()), maxRetryAfter)
		pause = max(pauseAfter(r.copy.Use.FailRenewal()), asked)
	}
	if res.body == nil {
		return
	}
	defer res.lead.detach()
	if !res.verdict.Share {
		return // nobody to read it
	}
	for {
		if p, err := res.lead.next(ctx); err != nil || len(p) == 0 {
			return
		}
	}
}

// pauseAfter is how long a copy is left alone whose renewal failed n times in a row. It is varied: copies that failed
// together are not tried again together.
func pauseAfter(n uint32) time.Duration {
	d := maxRenewalPause
	if n <= 6 {
		d = min(renewalPause<<(n-1), maxRenewalPause)
	}
	return d - rand.N(d/4)
}
