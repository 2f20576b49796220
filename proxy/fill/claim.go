package fill

import (
	"context"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

const (
	// claimTimeout is how long the store may take to say whether another instance is fetching already. After
	// claimTimeout, this instance fetches.
	claimTimeout = 200 * time.Millisecond
	// maxClaims bounds how often a fill asks for the right to fetch. After that, the fill fetches without the right.
	maxClaims = 4
)

// claimed claims the right to fetch for all instances, or waits for the instance that has the right. True: the fill
// has nothing to fetch any more, and the waiting requests look into the store again. False: the fill fetches, with
// the claim or, after any failure, without a claim. So a failure costs the origin one more request, and no client
// loses its answer.
//
// A renewal does not wait: this instance finds the copy that another instance renews in the tier later.
func (c *running) claimed() bool {
	if !c.mayClaim() {
		return false
	}
	// Requests that wait for this fill all go to the origin by themselves after WaitTimeout. The fill must begin to
	// fetch before that.
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

// mayClaim reports whether other instances could use the answer of this fill, and this instance the answers of
// others.
func (c *running) mayClaim() bool {
	return c.f.claims != nil && !c.alone && c.f.store.Deep() && !c.f.store.Down() && c.f.lease.Valid(time.Now())
}

// claim claims the key of a flight. The store has claimTimeout to answer.
func claim(ctx context.Context, claims store.Claims, key string) (store.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	return claims.Claim(ctx, key)
}

// disclaim releases the claim, if the fill has one. The release is a task of its own, since a release may take as
// long as a write to the tier. The fill gives up its claim exactly once, here or in handOver. A second release could
// take the right from the instance that has the right next.
func (c *running) disclaim(how store.ClaimResult) {
	claim := c.claim
	if claim == nil {
		return
	}
	c.claim = nil
	c.f.tasks.Go(func() { claim.Release(how) }) // also runs while Close waits, because the fill is a task itself
}

// releaseUnshared releases the claim after an answer that other instances cannot use. If the fill was cancelled,
// other instances learn that the right is free instead.
func (c *running) releaseUnshared() {
	if c.ctx.Err() != nil {
		c.disclaim(store.Vacant)
		return
	}
	c.disclaim(store.Unshared)
}
