package upstream

import (
	"net/url"
	"slices"
)

// Succeed returns the origin that o describes, to be used in place of before. It has connections of its own and before's
// places, and its knowledge of the addresses where these are the same: requests under way at either count as one, so that a change of the configuration does not double the load on what
// is behind. The limits of o hold for both from now on; places above a lowered limit are not taken away, only not given out
// again.
func Succeed(before *Origin, o Options) *Origin {
	next := New(o)
	next.limiter = before.limiter
	next.limiter.setLimits(next.options)
	if sameAddresses(before.options, next.options) {
		next.balancer = before.balancer // with what it knows of them
	}
	return next
}

// sameAddresses reports whether two origins have the same addresses and judge them in the same way.
func sameAddresses(a, b Options) bool {
	same := func(u, v *url.URL) bool { return *u == *v }
	return a.Health == b.Health && same(a.URL, b.URL) && slices.EqualFunc(a.Replicas, b.Replicas, same)
}

// Retire closes every connection as soon as nobody uses it, for when the configuration has no use for the origin any more.
// Requests under way, and those that wait for a place, are answered as before.
func (o *Origin) Retire() {
	o.retired.Store(true)
	o.CloseIdle()
}

// left is told of the end of each request, whose connection has become idle by then.
func (o *Origin) left() {
	if o.retired.Load() {
		o.CloseIdle()
	}
}
