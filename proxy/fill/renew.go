package fill

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/lockorder"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

const (
	// For each upstream renewalWorkers are at work at a time, and renewalQueue wait at most.
	renewalWorkers = 16
	renewalQueue   = 1024
	// A copy that the origin failed to give anew is left alone for renewalPause, then for twice as long each time, up to
	// maxRenewalPause. An origin may name a longer pause, up to maxRetryAfter.
	renewalPause    = 5 * time.Second
	maxRenewalPause = 5 * time.Minute
	maxRetryAfter   = time.Hour
	// leftPause is for how long a copy is left alone that another instance renews: until then that has not come up.
	leftPause = 250 * time.Millisecond
)

// Renewal is a copy that is to be fetched anew in the background.
type Renewal struct {
	Request *Request
	Key     string            // of the flight, as that of a Joiner
	Known   []invalidation.ID // likewise
	Copy    *store.Copy
	// Wanted is asked when the renewal's turn comes: the route may have been switched off since.
	Wanted func(now time.Time) bool
}

// Renew queues a copy for renewal on behalf of a request that came at now and does not wait. Describe is called only where the
// copy is to be renewed at all: nobody renews it, and it is not left alone after a failure. Where the queue is full the copy is
// offered again by its next reader. The caller has a reference to the copy, and the queue one of its own.
func (f *Filler) Renew(now time.Time, c *store.Copy, describe func() Renewal) {
	if !c.Use.StartRenewal(now) {
		return
	}
	r := describe()
	r.Copy.Hold()
	r.Request.Room.Hold()
	if !f.renewals.offer(r) {
		r.letGo()
		c.Use.EndRenewal(now, 0)
	}
}

// renewals are the copies that wait to be fetched anew: a queue for each upstream, so that one that hangs holds up nobody else's.
type renewals struct {
	renew func(context.Context, Renewal)

	mu      lockorder.Mutex[lockorder.Renewals] // guards what is below
	ctx     context.Context                     // of the workers; nil: there are none, before run and after
	workers sync.WaitGroup
	of      map[*upstream.Upstream]*renewalsOf // only those that have any
}

// renewalsOf are the renewals of one upstream.
type renewalsOf struct {
	waiting []Renewal
	workers int
}

// offer queues a renewal. It reports false where the queue is full.
func (rs *renewals) offer(r Renewal) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	origin := r.Request.Route.Origin
	q := rs.of[origin]
	switch {
	case q == nil:
		q = &renewalsOf{}
		rs.of[origin] = q
	case len(q.waiting) >= renewalQueue:
		return false
	}
	q.waiting = append(q.waiting, r)
	rs.employ(origin, q)
	return true
}

// employ has another worker for an upstream, where it may have one more. The caller holds mu.
func (rs *renewals) employ(origin *upstream.Upstream, q *renewalsOf) {
	if ctx := rs.ctx; ctx != nil && q.workers < renewalWorkers {
		q.workers++
		rs.workers.Go(func() {
			for r, ok := rs.next(ctx, origin, q); ok; r, ok = rs.next(ctx, origin, q) {
				rs.renew(ctx, r)
			}
		})
	}
}

// next is the next renewal of an upstream; false: there is none, and the worker ends.
func (rs *renewals) next(ctx context.Context, origin *upstream.Upstream, q *renewalsOf) (r Renewal, ok bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if ctx.Err() == nil && len(q.waiting) > 0 {
		r, q.waiting[0] = q.waiting[0], Renewal{}
		q.waiting = q.waiting[1:]
		return r, true
	}
	if q.workers--; q.workers == 0 && len(q.waiting) == 0 {
		delete(rs.of, origin)
	}
	return r, false
}

// run works off the queues until ctx ends. No worker begins after that: then they are waited for.
func (rs *renewals) run(ctx context.Context) {
	rs.mu.Lock()
	rs.ctx = ctx
	for origin, q := range rs.of {
		for range min(len(q.waiting), renewalWorkers) {
			rs.employ(origin, q)
		}
	}
	rs.mu.Unlock()
	<-ctx.Done()
	rs.mu.Lock()
	rs.ctx = nil
	rs.mu.Unlock()
	rs.workers.Wait()
}

// forget lets go of the renewals whose turn does not come any more.
func (rs *renewals) forget() {
	rs.mu.Lock()
	left := rs.of
	rs.of = make(map[*upstream.Upstream]*renewalsOf)
	rs.mu.Unlock()
	for _, q := range left { // which no worker has any more
		for i := range q.waiting {
			q.waiting[i].letGo()
		}
	}
}

// letGo gives back what the queue holds of a renewal.
func (r *Renewal) letGo() {
	r.Copy.Release()
	r.Request.Room.Release()
}

// renew fetches one copy anew, unless somebody does already or it has given way to another. The second is asked when the flight is
// open: a reader that saw the old copy may offer it a moment after the renewed one was stored, and the origin would be asked again.
//
// A body that is shared is read here to its end, although nobody wants it: it is stored however fast its readers are, but one that
// outgrows its limit ends with its last reader.
func (f *Filler) renew(ctx context.Context, r Renewal) {
	now := time.Now()
	pause := time.Duration(0)
	defer r.letGo()
	defer func() { r.Copy.Use.EndRenewal(time.Now(), pause) }()
	if !r.Wanted(now) || f.RefusesRead(r.Request.Route, now) {
		return // nobody will read the copy; or the origin is to be left alone
	}
	replaced := func() bool {
		found := f.store.Lookup(r.Request.Key, r.Request.Forward, time.Now())
		defer found.Release()
		return found.Copy != r.Copy
	}
	t := f.Join(Joiner{Key: r.Key, Known: r.Known, MaxWaiters: 1 << 30}, func() *Request {
		if replaced() {
			return nil
		}
		return r.Request
	})
	if t.Role != Leads {
		if t.result != nil {
			t.flight.leave()
		}
		return
	}
	res, lead, why := t.Await(ctx, 0, nil)
	switch {
	case why != policy.NoReason:
		t.Abandon()
		return
	case res.Again:
		if !replaced() {
			pause = leftPause
		}
		return
	}
	if res.Reason != policy.NoReason || httpcache.Passing(res.Status) || res.Spared {
		Failed(r.Copy, FailedAtOrigin(res.Reason) || OriginFailed(res.Status), res.Header)
	}
	if lead == nil {
		return
	}
	defer lead.Detach()
	if !res.Verdict.Share {
		return // nobody to read it
	}
	for {
		p, err := lead.Next(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errAbandoned) {
			Failed(r.Copy, true, nil) // it broke off
		}
		if err != nil || len(p) == 0 {
			return
		}
	}
}

// OriginFailed reports whether a status counts as an error for stale-if-error (RFC 5861 §4).
func OriginFailed(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// FailedAtOrigin reports whether there is no answer because the origin failed, and not because it was not asked.
func FailedAtOrigin(why policy.Reason) bool {
	return why == policy.OriginError || why == policy.OriginTimeout || why == policy.OriginStatus
}

// Failed has a copy left alone, by renewals and where it may stand in for the origin, because the origin failed to give it anew: all who
// were told so by the same answer may call it. header is that of the answer; nil: there was none. standsIn says that it was an error for
// which a copy may be served.
func Failed(c *store.Copy, standsIn bool, header http.Header) {
	now := time.Now()
	asked := min(httpcache.RetryAfter(header, now), maxRetryAfter)
	c.Use.Fail(now, standsIn, func(failures uint32) time.Duration { return max(pauseAfter(failures), asked) })
}

// pauseAfter is how long a copy is left alone that the origin failed to give anew n times in a row. It is varied: copies that failed
// together are not tried again together.
func pauseAfter(n uint32) time.Duration {
	d := maxRenewalPause
	if n <= 6 {
		d = min(renewalPause<<(n-1), maxRenewalPause)
	}
	return d - rand.N(d/4)
}
