package store

import (
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// Usable says what a copy may be used for at the time now, by its lifetime and by what was invalidated since its stamp. If that is less than Fresh, the
// reason says why.
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

// check is Ledger.Check for a copy, without an allocation if some of its members are in its family.
func check(ledger *invalidation.Ledger, c *Copy) invalidation.Verdict {
	var room [mostShared]invalidation.ID
	return ledger.Check(&c.Stamp, c.membersIn(room[:0]))
}
