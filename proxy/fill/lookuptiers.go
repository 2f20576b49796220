package fill

import (
	"errors"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

var errWithheld = errors.New("fetch from upstream: the shared store cannot be reached, and this route's reads do not go to the upstream without it")

// lookupTiers looks for a usable copy in the tiers, and claims the right to fetch. found says that res ends the fill; otherwise the origin has to
// be asked. No place at the origin is held meanwhile.
//
// The fill first waits for the flight that its own has replaced (turn): that flight may store the copy that is asked for.
func (c *running) lookupTiers() (res Response, found bool) {
	if err := c.flight.turn(c.ctx); err != nil {
		return c.failed(err), true
	}
	// If Recall has just looked in vain, the tiers are asked again only once the claim is held.
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

// promoted looks into the tiers before the origin is asked, once for all requests of the flight. It reports whether memory has a fresh copy now; for
// a renewal, that has to be another copy than the one to be renewed. A copy that is not fresh becomes the base that the origin may confirm.
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
	// To anything but a safe method If-None-Match is a condition on carrying it out (RFC 9110 §13.1.2).
	if use >= httpcache.NeedsValidation && httpcache.Safe(q.Method) {
		c.base, c.baseKey, c.previous = found.Copy, found.Key, found.Copy
	}
	return use == httpcache.Fresh
}
