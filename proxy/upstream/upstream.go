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

// Upstream is one service behind the proxy, at one address or several. A request gets a Slot from Acquire, which may
// have to wait, and goes out with Send.
//
// New, Succeed and Share set the fields before the first request. After that no field changes but retired and losses,
// which are atomic.
type Upstream struct {
	options  Options
	limiter  *limiter     // shared with the predecessor, and with upstreams of the same Options.Limit
	account  *account     // counts this upstream's part of limiter; shared with the predecessor
	balancer *balancer    // shared with the predecessor where the addresses are the same
	plain    *connections // for requests that switch to no other protocol
	upgrades *connections // HTTP/1.1, the only version with Upgrade; nil for h2c, which has no Upgrade
	losses   losses       // of kept connections
	retired  atomic.Bool  // set by Retire, read at the end of each request
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

// Name returns the upstream's name.
func (u *Upstream) Name() string { return u.options.Name }

// URL returns the upstream's first address, at which SetTarget aims; Send chooses the address. The caller must not
// change the URL.
func (u *Upstream) URL() *url.URL { return u.options.URL }

// HostRule returns the rule for the Host that the upstream sees, as configured.
func (u *Upstream) HostRule() policy.HostRule { return u.options.Host }

// Host returns the Host that the upstream sees, at its first address, for a request to the client's Host.
func (u *Upstream) Host(client string) string {
	if u.options.Host.Literal != "" {
		return u.options.Host.Literal
	}
	return client
}

// InFlight returns how many requests are at the upstream, streams not counted.
func (u *Upstream) InFlight() int { return int(u.account.now[inFlight].Load()) }

// Peak returns the highest InFlight since the start.
func (u *Upstream) Peak() int { return int(u.account.peak.Load()) }

// Queued returns how many requests wait for a place.
func (u *Upstream) Queued() int { return int(u.account.now[inQueue].Load()) }

// Streams returns how many streams are open.
func (u *Upstream) Streams() int { return int(u.account.now[inStreams].Load()) }

// Limits returns the limits in force: of requests at the upstream, of requests that wait for a place, and of streams.
// All are zero when the upstream has no limit.
func (u *Upstream) Limits() (inFlight, queued, streams int) {
	u.limiter.mu.Lock()
	defer u.limiter.mu.Unlock()
	if u.limiter.max == unlimited {
		return 0, 0, 0
	}
	return u.limiter.max, u.limiter.maxQueue, u.limiter.maxStreams
}

// WouldShed returns how many requests with Place.Passing the limit would have refused since the start, if the limit
// had held them.
func (u *Upstream) WouldShed() uint64 {
	u.limiter.mu.Lock()
	defer u.limiter.mu.Unlock()
	u.limiter.shadowExpire()
	return u.account.wouldShed.Load()
}

// Limited reports whether MaxInFlight is configured.
func (u *Upstream) Limited() bool { return u.options.MaxInFlight > 0 }

// Limit returns the name of the limit that the upstream shares with others; empty: the upstream has its own.
func (u *Upstream) Limit() string { return u.options.Limit }

// HoldsPassing reports whether the limits hold requests with Place.Passing too.
func (u *Upstream) HoldsPassing() bool { return u.options.LimitPassing }

// SetInstances sets how many instances share FleetMaxInFlight. Each instance may have FleetMaxInFlight divided by n
// at the upstream, rounded down so that all together never have more, but at least one, and never more than
// MaxInFlight. 0 means that the number is unknown and changes nothing: the last number holds, also for an upstream
// that succeeds this one. Before the first number AssumedInstances holds. An instance that is always alone has to
// call SetInstances, too.
func (u *Upstream) SetInstances(n int) { u.limiter.setInstances(n) }

// Retries returns how many requests since the start went on to another address, or out once more because a kept
// connection was lost or because HTTP/2 said that they were not processed.
func (u *Upstream) Retries() uint64 {
	u.balancer.mu.Lock()
	defer u.balancer.mu.Unlock()
	return u.balancer.retries
}

// Timeout returns how long the upstream may keep a request waiting for the header of its answer, counted while the
// upstream has its turn.
func (u *Upstream) Timeout() time.Duration { return u.options.Timeout }

// RetryAfter returns when a request that was refused a place may come again: whole seconds from one to twice the
// queue's deadline and one. The time is drawn anew for each request, so that requests refused together do not return
// together.
func (u *Upstream) RetryAfter() time.Duration {
	patience := int(math.Ceil(u.options.QueueTimeout.Seconds()))
	return time.Duration(1+rand.IntN(2*patience+1)) * time.Second
}

// maxOrphans is how many requests Adopt admits. Callers adopt only at an upstream without a limit (Limited).
const maxOrphans = 16

// Adopt counts a request for whose answer nobody waits any more, and which goes on for the sake of its copy. Disown
// counts the request out. False: the upstream has maxOrphans already, and the request is to end.
func (u *Upstream) Adopt() bool {
	if u.account.orphans.Add(1) > maxOrphans {
		u.account.orphans.Add(-1)
		return false
	}
	return true
}

// Disown counts out a request that Adopt has counted.
func (u *Upstream) Disown() { u.account.orphans.Add(-1) }

// Acquire waits for a place at the upstream. The caller gives the place back with Slot.Release. Acquire fails when
// the queue is full (Classify: policy.QueueFull), when no place became free within QueueTimeout
// (policy.QueueTimeout), or with the cause of ctx's end. NotSent is true of all these errors.
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
