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
	verdict := invalidation.Valid
	if !ledger.Current(&c.Stamp) {
		verdict = check(ledger, c)
	}
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
	case c.Use.state.Load()&outdated != 0:
		return life.JustStale(state), policy.Expired
	case state == httpcache.Fresh:
		return httpcache.Fresh, policy.NoReason
	}
	return state, policy.Expired
}

// check gathers the members of a copy, where they are not all in one place, and asks the ledger.
func check(ledger *invalidation.Ledger, c *Copy) invalidation.Verdict {
	var room [mostShared]invalidation.ID
	return ledger.Check(&c.Stamp, c.membersIn(room[:0]))
}
