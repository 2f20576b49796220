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

// keepsStandIn reports whether an answer with this status is to be kept by nobody because it tells of the moment only, and there
// is a copy, or parts of one, that may stand in for it: stored in its place, or beside it as another variant, the answer would
// be what the next request gets. The copy is judged as it is now: one that was purged or has expired since the fill began stands
// in for nothing.
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

// keepsStandInBelow is keepsStandIn after a look into the tiers: while the origin was failing this fill, another instance may
// have got an answer, and memory may have let go of what is still held there.
func (f *Filler) keepsStandInBelow(status int, r *Route, key string, h http.Header) bool {
	if !httpcache.Passing(status) {
		return false
	}
	ctx, cancel := context.WithTimeout(f.lifetime, claimTimeout)
	defer cancel()
	f.tiers.promote(ctx, r, key, h, time.Now()).Release()
	return f.keepsStandIn(status, r, key, h)
}

// mayStandIn reports whether a copy may be served where the origin fails, whatever a client wishes: fresh ones are, too. One that
// has to be confirmed may not where no read may see what was there before a write.
func mayStandIn(c *store.Copy, r *Route, ledger *invalidation.Ledger, now time.Time) bool {
	use, why := c.Usable(ledger, now)
	return (why != policy.Unconfirmed || !r.FencesWrites) && use >= httpcache.StaleOnError && !httpcache.Passing(c.Status())
}
