package fill

import (
	"context"
	"net/http"
	"time"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// keepsStandIn reports whether an answer with this status is to be kept by nobody because it tells of the moment only, and there
// is a copy, or parts of one, that may stand in for it: stored in its place, or beside it as another variant, the answer would
// be what the next request gets.
func (f *Filler) keepsStandIn(status int, r *Route, key string, h http.Header) bool {
	if !httpcache.Passing(status) {
		return false
	}
	now := time.Now()
	if found := f.store.Lookup(key, h, now, r.SelectingUnlisted()...); found.Copy != nil && f.mayStandIn(found.Copy, now) {
		return true
	}
	parts := f.store.LookupParts(key, h)
	return parts != nil && f.mayStandIn(parts.Of, now)
}

// mayStandIn reports whether a copy may be served where the origin fails, whatever a client wishes: fresh ones are, too.
func (f *Filler) mayStandIn(c *store.Copy, now time.Time) bool {
	use, _ := c.Usable(f.ledger, now)
	return use >= httpcache.StaleOnError && !httpcache.Passing(c.Status)
}

// promoteStandIn looks into the tiers below memory for a copy that may stand in for an error: while the origin was failing this
// fill, another instance may have got an answer, and memory may have let go of what is still held there.
func (f *Filler) promoteStandIn(status int, r *Route, key string, h http.Header) {
	if !httpcache.Passing(status) || !f.store.Deep() || !f.lease.Valid(time.Now()) {
		return
	}
	ctx, cancel := context.WithTimeout(f.lifetime, claimTimeout)
	defer cancel()
	_, err := f.store.Recall(ctx, key, h, time.Now())
	f.tierFailed("copy not recalled", r, err)
}
