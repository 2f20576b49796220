package proxy

import (
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// leaseState says how far one request may rely on stored copies. The state is determined once, by a clock that was read
// after the request came. For a purge that was confirmed before that reading, one of two facts holds: this instance has
// applied the purge, or the confirmation has waited until this instance's lease had lapsed.
type leaseState uint8

const (
	// leaseHeld: this instance knows every purge that was confirmed before the request came. The zero value.
	leaseHeld leaseState = iota
	// staleAllowed: purges may be unknown here, and the route serves copies from memory all the same, for LeaseLossMax.
	staleAllowed
	// leaseLost: purges may be unknown here, and no copy is used. The request shares only fetches that are sent to the
	// origin after the request came.
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

// detail returns the Cache-Status detail of an answer from a copy: LeaseLapsed if recent purges may be unknown, empty
// otherwise.
func (s leaseState) detail() string {
	if s == staleAllowed {
		return policy.LeaseLapsed.String()
	}
	return ""
}
