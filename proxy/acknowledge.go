package proxy

import (
	"context"
	"errors"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

const (
	// defaultConfirmTimeout is the default of Options.ConfirmTimeout.
	defaultConfirmTimeout = 10 * time.Second
	// leastPatience is how long an attempt may take even where no lease can be left.
	leastPatience = 100 * time.Millisecond
	// announceTimeout is how long it may take to put up a fence, which waits for no other instance.
	announceTimeout = 2 * time.Second
	// retryEvery is the pause between attempts to carry out an invalidation that could not be confirmed.
	retryEvery = time.Second
)

// announce puts up a fence. It does not end with the client.
func (p *Proxy) announce(members []policy.Member) (*invalidation.Fence, error) {
	ctx, cancel := context.WithTimeout(p.lifetime, announceTimeout)
	defer cancel()
	return p.log.Begin(ctx, members)
}

// confirm carries out an invalidation that holds everywhere when it returns, because each instance has applied it or can
// have no lease any more. Where the first could not be confirmed there is an error, and the second has been waited for.
func (p *Proxy) confirm(apply func(context.Context) (invalidation.Receipt, error)) (invalidation.Receipt, error) {
	now := time.Now()
	end := now.Add(p.patience(now))
	ctx, cancel := context.WithTimeout(p.lifetime, max(end.Sub(now), leastPatience))
	defer cancel()
	for {
		receipt, err := apply(ctx)
		now = time.Now()
		left := min(end.Sub(now), p.patience(now)) // the store may have been found to be down meanwhile
		if err == nil || left <= 0 || ctx.Err() != nil {
			return receipt, err
		}
		pause := time.NewTimer(min(retryEvery, left))
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// patience is how long it takes until every lease must have lapsed. While the store is down for all nobody's is extended, and
// those of the others last no longer than silence beyond this instance's own. In a long failure they have all lapsed: then
// writes do not pile up waiting for it.
func (p *Proxy) patience(now time.Time) time.Duration {
	if !p.store.Down() {
		return p.confirmTimeout
	}
	own := p.lease.Left(now) - min(p.lease.Lapsed(now), now.Sub(p.began))
	return min(p.confirmTimeout, max(0, p.silence+own))
}

// makeUpFor has an invalidation tried until it is confirmed or the proxy ends. Nobody waits for it.
func (p *Proxy) makeUpFor(apply func(context.Context) (invalidation.Receipt, error)) {
	if !p.tasks.Go(func() { p.makeUp(apply) }) {
		p.givenUp()
	}
}

func (p *Proxy) makeUp(apply func(context.Context) (invalidation.Receipt, error)) {
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-p.lifetime.Done():
			p.givenUp()
			return
		}
		ctx, cancel := context.WithTimeout(p.lifetime, p.confirmTimeout)
		_, err := apply(ctx)
		cancel()
		if err == nil {
			return
		}
		if !errors.Is(err, context.Canceled) {
			p.logger.Error("invalidation still not confirmed", "error", err)
		}
	}
}

func (p *Proxy) givenUp() {
	p.logger.Error("invalidation given up at exit; copies elsewhere may be stale until they expire")
}
