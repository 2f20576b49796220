package upstream

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"cacheproxy/policy"
)

// Upstream is one service behind the proxy, at one address or several. A request gets a Slot from Acquire, which may have to
// wait, and goes out with Send.
//
// All fields but retired are set before New or Succeed returns, and do not change.
type Upstream struct {
	options  Options
	limiter  *limiter     // shared with the upstream that this one succeeds, and with those of the same Options.Limit
	account  *account     // what this upstream holds of limiter; shared with the upstream that this one succeeds
	balancer *balancer    // shared with that upstream too if the addresses are the same
	plain    *connections // for requests without an upgrade
	upgrades *connections // HTTP/1.1, the only version with Upgrade; nil for h2c, which cannot be upgraded
	losses   losses       // of kept connections
	retired  atomic.Bool  // set by Retire, asked at the end of each request
}

// New returns the upstream that o describes, which must be valid.
func New(o Options) *Upstream {
	o = o.withDefaults()
	u := &Upstream{options: o, limiter: newLimiter(o), account: &account{waited: o.Waited}, balancer: newBalancer(o)}
	http1, http2, h2c := (*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2, (*http.Protocols).SetUnencryptedHTTP2
	switch o.URL.Scheme {
	case "h2c":
		u.plain = newConnections(o, protocols(h2c))
	case "https":
		u.plain = newConnections(o, protocols(http1, http2))
		u.upgrades = newConnections(o, protocols(http1))
	default:
		u.plain = newConnections(o, protocols(http1))
		u.upgrades = u.plain
	}
	return u
}

// Name is the upstream's name.
func (u *Upstream) Name() string { return u.options.Name }

// URL is the upstream's first address, which SetTarget aims at; Send chooses. It must not be changed.
func (u *Upstream) URL() *url.URL { return u.options.URL }

// HostRule says which Host the upstream sees, as configured.
func (u *Upstream) HostRule() policy.HostRule { return u.options.Host }

// Host is the Host that the upstream sees for a client's, at its first address.
func (u *Upstream) Host(client string) string {
	if u.options.Host.Literal != "" {
		return u.options.Host.Literal
	}
	return client
}

// InFlight is how many requests are at the upstream, streams not counted.
func (u *Upstream) InFlight() int { return int(u.account.now[inFlight].Load()) }

// Peak is the most that InFlight has been since the start.
func (u *Upstream) Peak() int { return int(u.account.peak.Load()) }

// Queued is how many requests wait for a place.
func (u *Upstream) Queued() int { return int(u.account.now[inQueue].Load()) }

// Streams is how many streams are open.
func (u *Upstream) Streams() int { return int(u.account.now[inStreams].Load()) }

// Limits returns the limits in force: of requests at the upstream, of requests that wait for a place, and of streams. All are zero if there are none.
func (u *Upstream) Limits() (inFlight, queued, streams int) {
	u.limiter.mu.Lock()
	defer u.limiter.mu.Unlock()
	if u.limiter.max == unlimited {
		return 0, 0, 0
	}
	return u.limiter.max, u.limiter.maxQueue, u.limiter.maxStreams
}

// WouldShed is how many requests with Place.Passing the limit would have refused if it had held them, since the start.
func (u *Upstream) WouldShed() uint64 {
	u.limiter.mu.Lock()
	defer u.limiter.mu.Unlock()
	u.limiter.shadowExpire()
	return u.account.wouldShed.Load()
}

// Limited reports whether MaxInFlight is set.
func (u *Upstream) Limited() bool { return u.options.MaxInFlight > 0 }

// Limit is the name of the limit that it shares with others; empty: it has its own.
func (u *Upstream) Limit() string { return u.options.Limit }

// HoldsPassing reports whether the limits hold requests with Place.Passing too.
func (u *Upstream) HoldsPassing() bool { return u.options.LimitPassing }

// SetInstances says that n instances share FleetMaxInFlight. Each may then have FleetMaxInFlight/n requests at the upstream, rounded down so that all
// together never have more, but at least one and at most MaxInFlight. With n below 1, which means not known, nothing changes. The number also holds
// for an upstream that succeeds this one. Until the first call AssumedInstances is assumed; a single instance has to call SetInstances(1).
func (u *Upstream) SetInstances(n int) { u.limiter.setInstances(n) }

// Retries is how many requests went on to another address, or out once more because a kept connection was lost or because HTTP/2 said
// that they were not processed, since the start.
func (u *Upstream) Retries() uint64 {
	u.balancer.mu.Lock()
	defer u.balancer.mu.Unlock()
	return u.balancer.retries
}

// Timeout is how long the upstream may keep a request waiting for the header of its answer, not counting the time that it waits for the client's
// bytes itself.
func (u *Upstream) Timeout() time.Duration { return u.options.Timeout }

// RetryAfter is when a request that was refused a place may come again: whole seconds from one to twice the queue's
// deadline and one, drawn anew for each, so that those refused together do not return together.
func (u *Upstream) RetryAfter() time.Duration {
	patience := int(math.Ceil(u.options.QueueTimeout.Seconds()))
	return time.Duration(1+rand.IntN(2*patience+1)) * time.Second
}

// maxOrphans is how many fetches whose answer nobody waits for an upstream without a limit may have.
const maxOrphans = 16

// Adopt counts a fetch whose answer nobody waits for any more, and that goes on so that its copy is stored. The caller must call Disown at its end.
// False: there are too many already, and the fetch has to end.
func (u *Upstream) Adopt() bool {
	if u.account.orphans.Add(1) > maxOrphans {
		u.account.orphans.Add(-1)
		return false
	}
	return true
}

// Disown ends what Adopt began.
func (u *Upstream) Disown() { u.account.orphans.Add(-1) }

// Acquire waits for a place at the upstream, which the caller gives back with Slot.Release. It fails when the queue is full
// (Classify: policy.QueueFull), when no place became free within QueueTimeout (policy.QueueTimeout), or with the cause of
// ctx's end; NotSent is true of all of these.
func (u *Upstream) Acquire(ctx context.Context, p Place) (*Slot, error) {
	p.account = u.account
	slot, err := u.limiter.acquire(ctx, p)
	if err != nil {
		return nil, &notSentError{err: err, over: true}
	}
	return slot, nil
}

// CloseIdle closes connections that no request uses.
func (u *Upstream) CloseIdle() {
	u.plain.now.Load().CloseIdleConnections()
	if u.upgrades != nil {
		u.upgrades.now.Load().CloseIdleConnections()
	}
}
