package proxy

import (
	"context"
	"net/http"
	"time"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// yields reports whether an answer is to be kept by nobody because it tells of the moment only, and there is a copy that may
// stand in for it: stored in its place, or beside it as another variant, it would be what the next request gets.
func (c *call) yields(status int) bool {
	return httpcache.Passing(status) && c.p.standsIn(c.q.key, c.q.forward, time.Now(), c.q.route.selectingUnlisted()...)
}

// yieldsBelow asks the tiers below memory first: while the origin was failing this fill, another instance may have got an
// answer, and memory may have let go of what is still held there.
func (c *call) yieldsBelow(status int) bool {
	if httpcache.Passing(status) && c.p.store.Deep() && c.p.lease.Valid(time.Now()) {
		ctx, cancel := context.WithTimeout(c.ctx, claimTimeout)
		defer cancel()
		_, err := c.p.store.Recall(ctx, c.q.key, c.q.forward, time.Now())
		c.p.tierFailed("copy not recalled", c.q.route, err)
	}
	return c.yields(status)
}

// standsIn reports whether a copy, or parts of one, may stand in where the origin fails to answer a request like this one.
func (p *Proxy) standsIn(key string, h http.Header, now time.Time, selected ...string) bool {
	if found := p.store.Lookup(key, h, now, selected...); found.Copy != nil && p.mayStandIn(found.Copy, now) {
		return true
	}
	parts := p.store.LookupParts(key, h)
	return parts != nil && p.mayStandIn(parts.Of, now)
}

// mayStandIn reports whether a copy may be served where the origin fails, whatever a client wishes: fresh ones are, too.
func (p *Proxy) mayStandIn(c *store.Copy, now time.Time) bool {
	use, _ := c.Usable(p.ledger, now)
	return use >= httpcache.StaleOnError && !httpcache.Passing(c.Status)
}
