package proxy

import (
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// due reports whether a copy is old enough to be renewed ahead of its expiry. Copies filled together become due apart:
// each has a place of its own in the first half of what is left after refresh_at.
func (ex *exchange) due(c *store.Copy) bool {
	at := ex.route.RefreshAt
	spread := float64((c.Digest^uint64(c.Life.Received.UnixNano()))*0x9E3779B97F4A7C15>>11) / (1 << 53)
	at += (1 - at) / 2 * spread
	return float64(c.Life.Age(ex.start)) >= at*float64(c.Life.Fresh)
}

// offerRenewal has a copy renewed in the background on behalf of this request, which does not wait.
func (ex *exchange) offerRenewal(found candidate, class upstream.Class) {
	ex.p.fills.Renew(ex.start, found.Copy, func() fill.Renewal { return ex.renewal(found, class) })
}

func (ex *exchange) renewal(found candidate, class upstream.Class) fill.Renewal {
	found.use, found.reason = policy.NeedsValidation, policy.Renewal
	r := ex.route
	return fill.Renewal{
		Request: ex.request(found, class), Key: ex.flightKey(found), Known: ex.known(), Copy: found.Copy,
		Wanted: func(now time.Time) bool {
			mode, _ := r.mode(now)
			return mode == policy.On
		},
	}
}
