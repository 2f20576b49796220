package fill

import (
	"errors"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

var errWithheld = errors.New("fetch from upstream: the shared store cannot be reached, and this route's reads do not go to the upstream without it")

// lookupTiers looks for a usable copy in the tiers, and claims the right to fetch. found says that res ends the fill.
// Otherwise the fill has to ask the origin. The fill holds no place at the origin during lookupTiers.
//
// The fill first waits for the flight that its own flight has replaced (turn): that flight may store the copy that
// this fill needs.
func (c *running) lookupTiers() (res Response, found bool) {
	if err := c.flight.turn(c.ctx); err != nil {
		return c.failed(err), true
	}
	// If Recall has just looked and found no copy, the fill asks the tiers again only once the fill holds the claim.
	known := c.f.recalls.inVain(c.q.Key, time.Now()) && c.mayClaim()
	if !known && c.promoted() || c.claimed() {
		res = Response{Again: true}
		c.disclaim(store.Shared)
		c.flight.publish(res, false)
		c.end()
		return res, true
	}
	if c.f.RefusesRead(c.q.Route, time.Now()) {
		return c.refused(policy.StoreUnavailable, errWithheld), true
	}
	return Response{}, false
}

// promoted looks into the tiers before the fill asks the origin, once for all requests of the flight. promoted
// reports whether memory has a fresh copy. For a renewal, that must be another copy than the copy to be renewed. A
// copy that is not fresh becomes the base that the origin may confirm.
func (c *running) promoted() bool {
	q, now := c.q, time.Now()
	found := c.f.tiers.promote(c.ctx, q.Route, q.Key, c.sent, now)
	c.held = append(c.held, found.Copy)
	if found.Copy == nil || q.Why == policy.Renewal && found.Copy == c.previous {
		return false
	}
	if len(q.URLKey) < len(q.Key) {
		c.f.store.Preferred(q.URLKey, q.Key, found.Copy)
	}
	use, _ := q.Route.Usable(found.Copy, c.f.ledger, now)
	// In a request with an unsafe method, If-None-Match is a condition for the origin to carry out the method (RFC
	// 9110 §13.1.2).
	if use >= httpcache.NeedsValidation && httpcache.Safe(q.Method) {
		c.base, c.baseKey, c.previous = found.Copy, found.Key, found.Copy
	}
	return use == httpcache.Fresh
}
