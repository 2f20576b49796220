package fill

import (
	"context"
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// keepsStandIn reports whether an answer must not be stored because its status is a passing error, and the store has
// a copy, or parts of a copy, that may be served instead. If the answer replaced the copy, or became a variant beside
// the copy, the next request would get the error. keepsStandIn judges the copy at the time of the call: a copy that
// was purged or has expired since the fill began does not count.
func (f *Filler) keepsStandIn(status int, r *Route, key string, h http.Header) bool {
	if !httpcache.Passing(status) {
		return false
	}
	now := time.Now()
	found := f.store.Lookup(key, h, now, r.SelectingUnlisted()...)
	defer found.Release()
	if found.Copy != nil && mayStandIn(found.Copy, r, f.ledger, now) {
		return true
	}
	parts := f.store.LookupParts(key, h)
	defer parts.Release()
	return parts != nil && mayStandIn(parts.Of, r, f.ledger, now)
}

// keepsStandInBelow is keepsStandIn after a look into the tiers. While the origin was failing this fill, another
// instance may have got an answer, and memory may have evicted a copy that the tiers still have.
func (f *Filler) keepsStandInBelow(status int, r *Route, key string, h http.Header) bool {
	if !httpcache.Passing(status) {
		return false
	}
	ctx, cancel := context.WithTimeout(f.lifetime, claimTimeout)
	defer cancel()
	f.tiers.promote(ctx, r, key, h, time.Now()).Release()
	return f.keepsStandIn(status, r, key, h)
}

// mayStandIn reports whether a copy, stale or fresh, may be served when the origin fails, whatever the client's
// directives. On a route that fences writes, a copy that has to be confirmed may not stand in: the copy may be from
// before a write.
func mayStandIn(c *store.Copy, r *Route, ledger *invalidation.Ledger, now time.Time) bool {
	use, why := c.Usable(ledger, now)
	return (why != policy.Unconfirmed || !r.FencesWrites) && use >= httpcache.StaleOnError && !httpcache.Passing(c.Status())
}
