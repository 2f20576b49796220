package upstream

import (
	"net/url"
	"testing"
)

// fleetOf describes an upstream whose places all instances share.
func fleetOf(own, fleet int) Options {
	return Options{URL: &url.URL{Scheme: "http", Host: "upstream.test"}, MaxInFlight: own, FleetMaxInFlight: fleet}
}

// The shares of all instances together are never more than the fleet may have, but for the one that each has at least.
func TestSharesOfAFleet(t *testing.T) {
	for _, c := range []struct {
		own, fleet int
		instances  []int // as they become known
		want       int
	}{
		{own: 64, want: 64},
		{own: 64, instances: []int{5}, want: 64},
		{own: 64, fleet: 64, instances: []int{1}, want: 64},
		{own: 64, fleet: 64, instances: []int{3}, want: 21},
		{own: 64, fleet: 300, instances: []int{3}, want: 64},
		{own: 64, fleet: 2, instances: []int{3}, want: 1},
		{own: 64, fleet: 64, instances: []int{4, 0, -1}, want: 16},
		{own: 64, fleet: 64, instances: []int{4, 2}, want: 32},
		{own: 64, fleet: 64, want: 64 / AssumedInstances},
	} {
		o := New(fleetOf(c.own, c.fleet))
		for _, n := range c.instances {
			o.SetInstances(n)
		}
		if got := o.limiter.max; got != c.want {
			t.Errorf("own %d, fleet %d, instances %v: a share of %d, want %d", c.own, c.fleet, c.instances, got, c.want)
		}
	}
	for fleet := 1; fleet < 200; fleet++ {
		for n := 1; n < 60; n++ {
			l := newLimiter(fleetOf(100, fleet))
			l.setInstances(n)
			if all := n * l.max; all > max(fleet, n) {
				t.Fatalf("%d instances may have %d requests at the upstream, and all together %d", n, all, fleet)
			}
		}
	}
}

// What is known of the instances outlives a reload, and the fleet's limit is the new one.
func TestSuccessorKeepsTheNumberOfInstances(t *testing.T) {
	o := New(fleetOf(64, 60))
	o.SetInstances(3)
	next := Succeed(o, fleetOf(64, 30))
	if got := next.limiter.max; got != 10 {
		t.Errorf("a share of %d after the reload, want 10", got)
	}
	next.SetInstances(2)
	if got := o.limiter.max; got != 15 {
		t.Errorf("the predecessor, whose requests count too, has %d places, want 15", got)
	}
}
