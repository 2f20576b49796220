package store

import (
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// Usable says what a copy may be used for at a time, and why for no more: by its lifetime, and by what was invalidated since
// the request that it answers was sent.
func (c *Copy) Usable(ledger *invalidation.Ledger, now time.Time) (httpcache.Freshness, policy.Reason) {
	verdict := ledger.Check(&c.Stamp, c.Members())
	switch verdict {
	case invalidation.Purged:
		return httpcache.Dead, policy.Purged
	case invalidation.Fenced:
		return httpcache.Dead, policy.Fenced
	}
	life := c.Life()
	state := life.State(now)
	switch {
	case state == httpcache.Dead:
		return httpcache.Dead, policy.Expired
	case verdict == invalidation.Unconfirmed:
		return min(life.JustStale(state), httpcache.StaleOnError), policy.Unconfirmed
	case verdict == invalidation.Soft:
		return life.JustStale(state), policy.SoftPurged
	case c.Use.outdated.Load():
		return life.JustStale(state), policy.Expired
	case state == httpcache.Fresh:
		return httpcache.Fresh, policy.NoReason
	}
	return state, policy.Expired
}
