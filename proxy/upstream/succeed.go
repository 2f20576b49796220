package upstream

import (
	"net/url"
	"slices"
)

// Succeed returns the upstream that o describes, which replaces before. The new upstream has connections of its own,
// the places of before, and before's knowledge of the addresses if these are the same. Requests under way at both are
// counted together, so that a change of the configuration does not double the load on the service. The limits of o
// hold for both from now on. Places above a lowered limit are not taken away, only not given out again. When
// Options.Limit changes, the new upstream does not take over the places: the requests that before has under way count
// in the former limit.
func Succeed(before *Upstream, o Options) *Upstream {
	next := New(o)
	next.account = before.account
	if before.options.Limit == o.Limit {
		next.limiter = before.limiter
		next.limiter.setLimits(next.options)
	}
	if sameAddresses(before.options, next.options) {
		next.balancer = before.balancer // with its knowledge of the addresses
	}
	return next
}

// Share makes u hold to the limits of other, together with other. The caller must call Share before the first
// request.
func (u *Upstream) Share(other *Upstream) {
	u.limiter = other.limiter
	u.limiter.setLimits(u.options)
}

// sameAddresses reports whether two upstreams have the same addresses and the same health check.
func sameAddresses(a, b Options) bool {
	same := func(u, v *url.URL) bool { return *u == *v }
	return a.Health == b.Health && same(a.URL, b.URL) && slices.EqualFunc(a.Replicas, b.Replicas, same)
}

// Retire closes every connection as soon as no request uses it, for an upstream that the configuration does not need
// any more. Requests under way, and requests that wait for a place, are answered all the same.
func (u *Upstream) Retire() {
	u.retired.Store(true)
	u.CloseIdle()
}

// left runs at the end of each request, whose connection is idle by then. Retire sets retired before it closes the
// idle connections. A connection that becomes idle after that closing is closed here, because left reads retired.
func (u *Upstream) left() {
	if u.retired.Load() {
		u.CloseIdle()
	}
}
