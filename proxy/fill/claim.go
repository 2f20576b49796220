package fill

import (
	"context"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

const (
	// claimTimeout is how long a word from the store may take that says whether another instance fetches already. After it
	// this one does.
	claimTimeout = 200 * time.Millisecond
	// maxClaims bounds how often a fill asks for the right to fetch, before it does so without.
	maxClaims = 4
)

// claimed has one instance go to the origin for all: it gives this fill the right to, or waits for the instance that has
// it. It reports whether there is nothing to fetch any more, so that those who wait look again. Whatever fails in it costs the
// origin one more request, and nobody their answer.
//
// A renewal waits for nobody: what another instance renews, this one finds the next time.
func (c *running) claimed() bool {
	if !c.mayClaim() {
		return false
	}
	// Those who wait for this fill go to the origin by themselves after WaitTimeout, all of them: it must come before.
	ctx, cancel := context.WithTimeout(c.ctx, c.q.Route.WaitTimeout/4*3)
	defer cancel()
	for range maxClaims {
		claim, err := claim(ctx, c.f.claims, c.flight.key)
		switch {
		case err != nil:
			return false
		case claim.Held():
			c.claim = claim
			return c.promoted() // what another brought after the look before the claim
		case c.q.Why == policy.Renewal:
			return true
		}
		how, err := claim.Await(ctx)
		if err != nil || how == store.Unshared || !c.mayClaim() {
			return false
		}
		if how == store.Shared && c.promoted() {
			return true
		}
	}
	return false
}

// mayClaim reports whether other instances could use what this fill brings, and this one what they bring.
func (c *running) mayClaim() bool {
	return c.f.claims != nil && !c.alone && c.f.store.Deep() && !c.f.store.Down() && c.f.lease.Valid(time.Now())
}

// claim claims the key of a flight.
func claim(ctx context.Context, claims store.Claims, key string) (store.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	return claims.Claim(ctx, key)
}

// disclaim gives the right back, if the fill has it, and says how it ended. The word may take as long as a write to the tier, for
// which the fill does not wait. A fill has the right until here or until handOver, and never after: given back twice, it would be
// taken from the instance that has it next.
func (c *running) disclaim(how store.ClaimResult) {
	claim := c.claim
	if claim == nil {
		return
	}
	c.claim = nil
	c.f.tasks.Go(func() { claim.Release(how) }) // runs also while Close waits, because the fill is a task itself
}

// releaseUnshared gives the right back after an answer that is of no use to others. A fill that was stopped from here leaves it
// to them to fetch.
func (c *running) releaseUnshared() {
	if c.ctx.Err() != nil {
		c.disclaim(store.Vacant)
		return
	}
	c.disclaim(store.Unshared)
}
