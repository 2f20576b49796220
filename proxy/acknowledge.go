package proxy

import (
	"context"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

const (
	// leastPatience is how long an attempt may take even where no lease can be left.
	leastPatience = 100 * time.Millisecond
	// liftTimeout is how long it may take to take a fence away around nothing, which waits for no other instance.
	liftTimeout = 2 * time.Second
	// retryEvery is the pause between attempts to carry out an invalidation that could not be confirmed.
	retryEvery = time.Second
)

// announce puts up a fence on every instance. It does not end with the client.
func (p *Proxy) announce(members []policy.Member) (*invalidation.Fence, error) {
	ctx, cancel := context.WithTimeout(p.lifetime, max(p.patience(time.Now()), leastPatience))
	defer cancel()
	return p.log.Begin(ctx, members)
}

// confirm carries out an invalidation that holds everywhere when it returns, because each instance has applied it or can
// have no lease any more. Where the first could not be confirmed there is an error, and the second has been waited for.
func (p *Proxy) confirm(f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	now := time.Now()
	end := now.Add(p.patience(now))
	ctx, cancel := context.WithTimeout(p.lifetime, max(end.Sub(now), leastPatience))
	defer cancel()
	for {
		receipt, err := p.carryOut(ctx, f, o)
		now = time.Now()
		left := min(end.Sub(now), p.patience(now)) // the store may have been found to be down meanwhile
		if err == nil || left <= 0 || ctx.Err() != nil {
			return receipt, err
		}
		select {
		case <-time.After(min(retryEvery, left)):
		case <-ctx.Done():
		}
	}
}

// patience is how long it takes until every lease must have lapsed. While the store is down for all nobody's is extended, and
// those of the others last no longer than silence beyond this instance's own. In a long failure they have all lapsed: then
// writes do not pile up waiting for it.
func (p *Proxy) patience(now time.Time) time.Duration {
	if !p.store.Down() {
		return p.confirmTimeout()
	}
	own := p.lease.Left(now) - min(p.lease.Lapsed(now), now.Sub(p.began))
	return min(p.confirmTimeout(), max(0, p.silence()+own))
}

// makeUpFor leaves an invalidation that could not be confirmed to the log, which applies it here and writes it as soon as it can.
// Until then this instance takes no lease. Nobody waits, and however many writes fail while the store is away, they cost a place each
// in the log's queue, which is bounded.
func (p *Proxy) makeUpFor(f *invalidation.Fence, o invalidation.Order) {
	o.Wait = invalidation.WaitLocal
	if _, err := p.carryOut(p.lifetime, f, o); err != nil {
		p.logger.Error("invalidation neither confirmed nor queued; copies elsewhere may be stale until they expire", "error", err)
	}
}

// carryOut ends a write, or does what else the order says. With a fence it is carried out on the fence's members as well.
func (p *Proxy) carryOut(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	if f != nil {
		return p.log.End(ctx, f, o)
	}
	return p.log.Invalidate(ctx, o)
}
