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
	// For each upstream at most renewalWorkers renewals run at a time, and at most renewalQueue wait.
	renewalWorkers = 16
	renewalQueue   = 1024
	// After the origin has failed to renew a copy, the pause for that copy is renewalPause. The pause doubles with
	// each further failure, up to maxRenewalPause. The origin may name a longer pause in Retry-After, up to
	// maxRetryAfter.
	renewalPause    = 5 * time.Second
	maxRenewalPause = 5 * time.Minute
	maxRetryAfter   = time.Hour
	// leftPause is the pause before a copy is offered again that another instance is renewing and that the shared
	// tier does not have yet.
	leftPause = 250 * time.Millisecond
)

// Renewal is a copy that is to be fetched anew in the background.
type Renewal struct {
	Request *Request
	Key     string            // of the flight, as in Joiner
	Known   []invalidation.ID // as in Joiner
	Copy    *store.Copy
	// Wanted is called when the renewal's turn comes: the route may have been switched off since the renewal was
	// queued.
	Wanted func(now time.Time) bool
}

// Renew queues a copy for renewal, on behalf of a request that came at now, and does not wait. Renew calls describe
// only if the copy is to be renewed: no renewal of the copy is queued or running, and the copy is not in a pause
// after a failure. If the queue is full, the copy's next reader offers the copy again. The caller must have a
// reference to the copy; the queue takes its own.
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

// renewals are the copies that wait to be fetched anew. Each upstream has a queue of its own, so that an upstream
// that hangs holds up no other upstream's renewals.
type renewals struct {
	renew func(context.Context, Renewal)

	mu      lockorder.Mutex[lockorder.Renewals] // guards the fields below but workers
	ctx     context.Context                     // of the workers; nil: before run and after run no worker starts
	workers sync.WaitGroup
	closed  bool                               // offer takes no more
	of      map[*upstream.Upstream]*renewalsOf // only upstreams with renewals that wait or run
}

// renewalsOf are the renewals of one upstream. renewals.mu guards them.
type renewalsOf struct {
	waiting []Renewal
	workers int
}

// offer queues a renewal. False: the queue is full or closed.
func (rs *renewals) offer(r Renewal) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return false
	}
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

// employ starts another worker for an upstream, if the upstream may have one more. The caller holds mu.
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

// next takes the next renewal of an upstream. If the queue is empty or ctx has ended, next counts the worker out, and
// the worker must end.
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

// run works off the queues until ctx ends, and then waits for the workers. No worker starts after that.
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

// forget releases the renewals that wait, and lets offer take no more. Workers may still run: the queues are empty for
// them.
func (rs *renewals) forget() {
	var left []Renewal
	rs.mu.Lock()
	rs.closed = true
	for origin, q := range rs.of {
		left = append(left, q.waiting...)
		if q.waiting = nil; q.workers == 0 {
			delete(rs.of, origin)
		}
	}
	rs.mu.Unlock()
	for i := range left {
		left[i].letGo()
	}
}

// letGo releases the references that the queue has for a renewal.
func (r *Renewal) letGo() {
	r.Copy.Release()
	r.Request.Room.Release()
}

// renew fetches one copy anew, unless a flight does so already or another copy has replaced the old copy. renew
// checks for a replacement when the flight is open. A reader that saw the old copy may offer that copy just after the
// renewed copy was stored; without the check, the origin would be asked again.
//
// renew reads a shared body to its end. A body that is kept would be stored without a reader. But a body that
// outgrows its limit ends with its last reader, and this reader may be the only one besides requests that come and
// go.
func (f *Filler) renew(ctx context.Context, r Renewal) {
	now := time.Now()
	pause := time.Duration(0)
	defer r.letGo()
	defer func() { r.Copy.Use.EndRenewal(time.Now(), pause) }()
	if !r.Wanted(now) || f.RefusesRead(r.Request.Route, now) {
		return // the route is switched off, or its reads must not go to the origin
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
		return // no other request reads the body
	}
	for {
		p, err := lead.Next(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errAbandoned) {
			Failed(r.Copy, true, nil) // the body broke off
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

// FailedAtOrigin reports whether the reason for a missing answer is a failure of the origin, and not that the origin
// was not asked.
func FailedAtOrigin(why policy.Reason) bool {
	return why == policy.OriginError || why == policy.OriginTimeout || why == policy.OriginStatus
}

// Failed notes that the origin failed to renew a copy. During a pause, no renewal of the copy starts, and the copy
// answers without a request to the origin where the copy may stand in. All requests that got the same failed answer
// may call Failed; the failure counts once. header is that of the answer; nil: the origin gave no answer. standsIn
// says that a copy may be served in place of such a failure.
func Failed(c *store.Copy, standsIn bool, header http.Header) {
	now := time.Now()
	asked := min(httpcache.RetryAfter(header, now), maxRetryAfter)
	c.Use.Fail(now, standsIn, func(failures uint32) time.Duration { return max(pauseAfter(failures), asked) })
}

// pauseAfter is the pause after the n-th failure in a row to renew a copy. The pause varies at random, so that copies
// that failed together are not tried again together.
func pauseAfter(n uint32) time.Duration {
	d := maxRenewalPause
	if n <= 6 {
		d = min(renewalPause<<(n-1), maxRenewalPause)
	}
	return d - rand.N(d/4)
}
