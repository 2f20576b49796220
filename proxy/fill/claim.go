package fill

import (
	"context"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

const (
	// claimTimeout is how long the store may take to say whether another instance is fetching already. After it, this instance fetches.
	claimTimeout = 200 * time.Millisecond
	// maxClaims bounds how often a fill asks for the right to fetch, before it does so without.
	maxClaims = 4
)

// claimed claims the right to fetch for all instances, or waits for the instance that has it. It reports true if there is nothing to fetch any
// more, so that the waiting requests look into the store again; otherwise the fill fetches, with the claim or, after any failure, without. So a
// failure costs the origin one more request, and no client its answer.
//
// A renewal does not wait: the copy that another instance renews is found in the tier later.
func (c *running) claimed() bool {
	if !c.mayClaim() {
		return false
	}
	// Requests that wait for this fill all go to the origin by themselves after WaitTimeout. The fill must begin to fetch before that.
	ctx, cancel := context.WithTimeout(c.ctx, c.q.Route.WaitTimeout/4*3)
	defer cancel()
	for range maxClaims {
		claim, err := claim(ctx, c.f.claims, c.flight.key)
		switch {
		case err != nil:
			return false
		case claim.Held():
			c.claim = claim
			return c.promoted() // another instance may have stored a copy between the last look into the tier and the claim
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

// disclaim releases the claim, if the fill has it, as a task of its own, since that may take as long as a write to the tier. The fill gives up its
// claim exactly once, here or in handOver: releasing it again could take the right from the instance that has it next.
func (c *running) disclaim(how store.ClaimResult) {
	claim := c.claim
	if claim == nil {
		return
	}
	c.claim = nil
	c.f.tasks.Go(func() { claim.Release(how) }) // runs also while Close waits, because the fill is a task itself
}

// releaseUnshared releases the claim after an answer that other instances cannot use. If the fill was cancelled, they are told that the right is
// free instead.
func (c *running) releaseUnshared() {
	if c.ctx.Err() != nil {
		c.disclaim(store.Vacant)
		return
	}
	c.disclaim(store.Unshared)
}
