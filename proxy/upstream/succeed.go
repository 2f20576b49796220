package upstream

import (
	"net/url"
	"slices"
)

// Succeed returns the upstream that o describes, to be used in place of before. The new one has connections of its own, before's
// places, and before's knowledge of the addresses where these are the same. The requests under way at both are counted together,
// so that a change of the configuration does not double the load on what is behind. The limits of o hold for both from now on;
// places above a lowered limit are not taken away, only not given out again. Where the limit itself becomes another, shared or not,
// what before has under way counts in the former.
func Succeed(before *Upstream, o Options) *Upstream {
	next := New(o)
	next.account = before.account
	if before.options.Limit == o.Limit {
		next.limiter = before.limiter
		next.limiter.setLimits(next.options)
	}
	if sameAddresses(before.options, next.options) {
		next.balancer = before.balancer // with what it knows of them
	}
	return next
}

// Share has u hold to the limits of other, together with it. It must be called before the first request.
func (u *Upstream) Share(other *Upstream) {
	u.limiter = other.limiter
	u.limiter.setLimits(u.options)
}

// sameAddresses reports whether two upstreams have the same addresses and judge them in the same way.
func sameAddresses(a, b Options) bool {
	same := func(u, v *url.URL) bool { return *u == *v }
	return a.Health == b.Health && same(a.URL, b.URL) && slices.EqualFunc(a.Replicas, b.Replicas, same)
}

// Retire closes every connection as soon as no request uses it, for when the configuration has no use for the upstream any more.
// Requests under way, and those that wait for a place, are answered as before.
func (u *Upstream) Retire() {
	u.retired.Store(true)
	u.CloseIdle()
}

// left is called at the end of each request, when its connection has become idle. Retire sets retired before it closes idle connections: a connection
// that becomes idle after that is closed here.
func (u *Upstream) left() {
	if u.retired.Load() {
		u.CloseIdle()
	}
}
