package proxy

import (
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// trust is how far one request may rely on what is stored. It is decided once, by a clock that was read after the request
// came: whoever had a purge confirmed before that has waited for this instance, or for its lease to lapse.
type trust uint8

const (
	// informed: what was confirmed to anybody before the request came is known here. The zero value.
	informed trust = iota
	// excused: it may not be known, and the route serves what memory has all the same, for a while.
	excused
	// uninformed: it may not be known, and nothing stored is used. The request shares only what is asked of the origin after it
	// came.
	uninformed
)

func (r *route) trust(l *invalidation.Lease, now time.Time) trust {
	if l.Valid(now) {
		return informed
	}
	if r.OnLeaseLoss == policy.LeaseLossServeStale && l.Lapsed(now) <= r.LeaseLossMax {
		return excused
	}
	return uninformed
}

// excuse says in an answer from a copy that nobody knows what was purged lately.
func (ex *exchange) excuse() {
	if ex.trust == excused {
		ex.status.Detail = policy.LeaseLapsed.String()
	}
}

// withholds reports whether a read that no copy answers must not go on to the origin: read-through promises that the origin
// sees no more than what the store lets through.
func (p *Proxy) withholds(r *route, now time.Time) bool {
	return r.RefusesReads && (p.store.Down() || !p.lease.Valid(now))
}

// withhold answers such a read: with a copy that may stand in for an error, or not at all.
func (ex *exchange) withhold(c candidate) {
	if ex.spare(c) {
		ex.stale(c.Copy, policy.StoreUnavailable)
		return
	}
	ex.refuse(http.StatusServiceUnavailable, policy.StoreUnavailable, withheld)
}

const withheld = "the shared store cannot be reached, and this route's reads do not go to the upstream without it; try again"
