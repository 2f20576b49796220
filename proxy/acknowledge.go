package proxy

import (
	"context"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

const (
	// leastPatience is the least time that an attempt has, even if no instance can hold a lease any more.
	leastPatience = 100 * time.Millisecond
	// liftTimeout bounds the removal of a fence after a write that has changed nothing. The removal waits for no other
	// instance.
	liftTimeout = 2 * time.Second
	// retryEvery is the pause between attempts to carry out an invalidation that could not be confirmed.
	retryEvery = time.Second
)

// announce begins a fence around members on every instance. The fence is not cancelled if the client leaves.
func (p *Proxy) announce(members []policy.Member) (*invalidation.Fence, error) {
	ctx, cancel := context.WithTimeout(p.lifetime, max(p.patience(time.Now()), leastPatience))
	defer cancel()
	return p.log.Begin(ctx, members)
}

// confirm carries out an invalidation, and returns when the invalidation holds on every instance: each instance has
// applied the invalidation, or can hold no lease any more. An error means that some instance is not known to have
// applied the invalidation, and that confirm has waited out the longest lease instead.
func (p *Proxy) confirm(f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	now := time.Now()
	end := now.Add(p.patience(now))
	ctx, cancel := context.WithTimeout(p.lifetime, max(end.Sub(now), leastPatience))
	defer cancel()
	for {
		receipt, err := p.carryOut(ctx, f, o)
		now = time.Now()
		left := min(end.Sub(now), p.patience(now)) // carryOut may have found that the store is down
		if err == nil || left <= 0 || ctx.Err() != nil {
			return receipt, err
		}
		select {
		case <-time.After(min(retryEvery, left)):
		case <-ctx.Done():
		}
	}
}

// patience is the time until the lease of every instance must have lapsed, at most ConfirmTimeout. While the store is
// down, no instance can extend a lease, and the leases of other instances end no later than Options.Silence after this
// instance's own. So patience is zero in a long outage, and writes do not pile up waiting for leases that have lapsed
// already.
func (p *Proxy) patience(now time.Time) time.Duration {
	if !p.store.Down() {
		return p.confirmTimeout()
	}
	own := p.lease.Left(now) - min(p.lease.Lapsed(now), now.Sub(p.began))
	return min(p.confirmTimeout(), max(0, p.silence()+own))
}

// makeUpFor hands an unconfirmed invalidation to the log. The log applies the invalidation on this instance at once,
// and writes the invalidation to the store as soon as possible. Until then this instance takes no lease. The caller
// does not wait. Each such invalidation takes one place in the queue of the log, which is bounded.
func (p *Proxy) makeUpFor(f *invalidation.Fence, o invalidation.Order) {
	o.Wait = invalidation.WaitLocal
	if _, err := p.carryOut(p.lifetime, f, o); err != nil {
		p.logger.Error("invalidation neither confirmed nor queued; copies elsewhere may be stale until they expire", "error", err)
	}
}

// carryOut appends the order to the log. With a fence f, the order is the end of f, and so applies also to the members
// of f; with f nil, the order stands by itself.
func (p *Proxy) carryOut(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	if f != nil {
		return p.log.End(ctx, f, o)
	}
	return p.log.Invalidate(ctx, o)
}
