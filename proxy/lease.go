package proxy

import (
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// leaseState is how far one request may rely on what is stored. It is decided once, by a clock that was read after the request
// came: whoever had a purge confirmed before that has waited for this instance, or for its lease to lapse.
type leaseState uint8

const (
	// leaseHeld: what was confirmed to anybody before the request came is known here. The zero value.
	leaseHeld leaseState = iota
	// staleAllowed: it may not be known, and the route serves what memory has all the same, for a while.
	staleAllowed
	// leaseLost: it may not be known, and nothing stored is used. The request shares only what is asked of the origin after it
	// came.
	leaseLost
)

func (r *route) leaseState(l *invalidation.Lease, now time.Time) leaseState {
	if l.Valid(now) {
		return leaseHeld
	}
	if r.OnLeaseLoss == policy.LeaseLossServeStale && l.Lapsed(now) <= r.LeaseLossMax {
		return staleAllowed
	}
	return leaseLost
}

// detail says in an answer from a copy that nobody knows what was purged lately; empty: it is known.
func (s leaseState) detail() string {
	if s == staleAllowed {
		return policy.LeaseLapsed.String()
	}
	return ""
}
