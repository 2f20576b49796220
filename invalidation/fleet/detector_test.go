package fleet

import (
	"slices"
	"testing"
	"time"

	"cacheproxy/invalidation"
)

// An instance is dead when its heartbeat has not changed for as long as a lease lasts, by the clock of who watches.
func TestReaping(t *testing.T) {
	d := newDesk(t)
	d.pass(time.Hour)
	c := d.f.Confirm(1, &Witness{}, d.now)
	me := Peer{Name: "me", Applied: 1}
	sync := func(beat uint64) (done bool, reap []Peer) {
		d.live = []Peer{me, {Name: "other", Beat: beat}}
		d.beat()
		done, reap = c.Observe(d.live, d.now)
		if suspected := d.f.Suspected(d.now); !slices.Equal(suspected, reap) {
			t.Fatalf("suspected %v, to reap %v", suspected, reap)
		}
		return done, reap
	}
	began := d.now
	for beat := range uint64(5) {
		for range 5 {
			done, reap := sync(beat)
			if len(reap) > 0 {
				t.Fatalf("an instance that lives is given up: %v", reap)
			}
			if waited := d.now.Sub(began); done != (waited >= invalidation.Timeout(deskLease)) {
				t.Fatalf("done after %v: %v", waited, done)
			}
			d.pass(deskLease / 5)
		}
	}
	if !slices.Equal(c.Acked(), []string{"me"}) || !slices.Equal(c.Reaped(), []string{"other"}) {
		t.Errorf("waited out: acked %v, reaped %v", c.Acked(), c.Reaped())
	}
	c = d.f.Confirm(1, &Witness{}, d.now)
	sync(5)
	for range 5 {
		d.pass(deskLease / 5)
		if done, reap := sync(5); done || len(reap) > 0 {
			t.Fatalf("given up while it may have its lease: %v, %v", done, reap)
		}
	}
	d.pass(invalidation.Margin(deskLease))
	if _, reap := sync(5); len(reap) != 1 || reap[0].Name != "other" {
		t.Fatalf("silent for longer than its lease: %v", reap)
	}
	if done, _ := c.Observe([]Peer{me}, d.now); !done || len(c.Reaped()) != 1 || len(c.Acked()) != 1 {
		t.Errorf("not done once it was taken off: acked %v, reaped %v", c.Acked(), c.Reaped())
	}
}

// An instance that has had no replies for a while cannot tell whether the others were silent.
func TestOwnSilenceIsNotThatOfOthers(t *testing.T) {
	d := newDesk(t)
	d.live = []Peer{{Name: "me"}, {Name: "other", Beat: 1}}
	d.beat()
	d.pass(2 * deskLease)
	d.beat()
	if suspected := d.f.Suspected(d.now); len(suspected) > 0 {
		t.Fatalf("suspected: %v", suspected)
	}
	for range 3 {
		d.pass(deskLease * 2 / 5)
		d.beat()
	}
	if suspected := d.f.Suspected(d.now); len(suspected) != 1 {
		t.Errorf("suspected: %v", suspected)
	}
}

// The lease that an instance has said counts also where the list is silent about it: it is not waited for by the longest that can be.
func TestLeaseThatWasSaid(t *testing.T) {
	d := newDesk(t)
	other := Peer{Name: "other", Lease: 2 * deskLease}
	d.live = append(d.live, other)
	d.beat()
	d.old = true
	d.live = []Peer{{Name: "me", Lease: deskLease}, {Name: "other"}}
	for range 3 {
		d.beat()
		if got := d.f.LeaseTimeout(); got != invalidation.Timeout(other.Lease) {
			t.Errorf("others are waited for %v", got)
		}
		d.live[1].Lease = 0
	}
	d.live = append(d.live, Peer{Name: "new"})
	d.beat()
	if got := d.f.LeaseTimeout(); got != invalidation.Timeout(invalidation.MaxLease) {
		t.Errorf("one that has said nothing is waited for %v", got)
	}
}

// Whoever has not applied the entry and is not on the list any more was given up, also where another instance did it.
func TestReapedIsWhoIsGone(t *testing.T) {
	d := newDesk(t)
	d.pass(time.Hour)
	d.beat()
	c := d.f.Confirm(7, &Witness{}, d.now)
	me := Peer{Name: "me", Applied: 7}
	for _, live := range [][]Peer{
		{me, {Name: "stopped"}, {Name: "slow", Applied: 6}, {Name: "back", Applied: 5}, {Name: "quick", Applied: 7}},
		{me, {Name: "slow", Applied: 7}, {Name: "quick", Applied: 7}},
		{me, {Name: "slow", Applied: 7}, {Name: "back", Applied: 8}},
	} {
		c.Observe(live, d.now)
	}
	if acked, reaped := c.Acked(), c.Reaped(); !slices.Equal(acked, []string{"back", "me", "slow"}) || !slices.Equal(reaped, []string{"stopped"}) {
		t.Errorf("acked %v, reaped %v", acked, reaped)
	}
}
