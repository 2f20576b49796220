package fleet

import (
	"slices"
	"testing"
	"time"

	"cacheproxy/invalidation"
)

// newcomer is a follower that has just read a snapshot of the desk's log.
func (d *desk) newcomer() {
	d.ledger, d.lease = invalidation.NewLedger(), invalidation.NewLease(d.now)
	d.f = NewFollower(d.ledger, d.lease, deskLease, "me", 1)
	d.f.Receive(d.f.Request(d.now), SyncReply{Status: OtherHistory}, d.now)
	d.f.InstallSnapshot(Snapshot{History: deskHistory}, d.now)
}

// A newcomer waits until no other instance can know more than the log (R16), and is spared that by an instance that has waited, or
// has been there all the time.
func TestNewcomerWaits(t *testing.T) {
	timeout := invalidation.Timeout(deskLease)
	for _, c := range []struct {
		name string
		peer Peer // with the term, which the desk gives
		beat bool // its heartbeat goes on
		old  bool
		want time.Duration // until the newcomer holds a lease
	}{
		{"a peer that has held its lease in this term for long", Peer{Lease: deskLease, Term: 1, Held: timeout}, true, false, 0},
		{"whose heartbeat stands: the list may be from before", Peer{Lease: deskLease, Term: 1, Held: time.Hour}, false, false, timeout},
		{"in another term", Peer{Lease: deskLease, Term: 2, Held: time.Hour}, true, false, timeout},
		{"for not so long", Peer{Lease: deskLease, Term: 1, Held: timeout - 1}, true, false, timeout},
		{"with a longer lease than the newcomer's", Peer{Lease: 2 * deskLease, Term: 1, Held: timeout}, true, false, invalidation.Timeout(2 * deskLease)},
		{"whose heartbeat counts back", Peer{Lease: deskLease, Term: 1, Held: time.Hour, Beat: 1<<64 - 2}, true, false, timeout},
		{"of a version that does not say", Peer{}, true, true, invalidation.Timeout(invalidation.MaxLease)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.terms = []Term{{Name: 1}}
			c.peer.Name = "other"
			d.live, d.living, d.old = []Peer{{Name: "me", Lease: deskLease}, c.peer}, c.beat, c.old
			d.newcomer()
			began := d.now
			d.beat()
			for wait := range int64(c.want/time.Second) + 1 {
				if d.now = began.Add(time.Duration(wait) * time.Second); d.now.Sub(began) >= c.want {
					break
				}
				if d.beat(); d.valid() {
					t.Fatalf("a lease after %v", d.now.Sub(began))
				}
			}
			d.now = began.Add(c.want)
			if !c.beat {
				d.live = d.live[:1] // somebody has taken it off the list
			}
			d.beat()
			if !d.valid() {
				t.Fatalf("no lease after %v", c.want)
			}
			if done, _ := d.f.Confirm(0, &Witness{}, d.now).Observe(d.live, d.now); !done {
				t.Error("a lease, and no purge can be confirmed")
			}
		})
	}
}

// An instance that stands on the list of a server to which it has not spoken in its present term may have taken the only record of a
// purge with it (R16): everything is confirmed, for all instances.
func TestInstanceThatDoesNotComeOver(t *testing.T) {
	for _, c := range []struct {
		name string
		term uint32 // in which it has last spoken
		want bool
	}{{"it has not spoken to this server", 1, true}, {"it died later", 2, false}} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.terms = []Term{{Name: 1}, {Name: 2}}
			d.live = append(d.live, Peer{Name: "other", Lease: deskLease, Term: c.term})
			d.newcomer()
			d.beat()
			d.pass(invalidation.Timeout(deskLease))
			d.live = d.live[:1] // it was taken off the list
			d.beat()
			due := d.f.Due(10, d.now.Add(time.Second))
			if confirms := len(due) == 1 && due[0].Operation == invalidation.InvalidateConfirm; confirms != c.want || d.valid() == c.want {
				t.Errorf("a lease: %v; to be written: %+v", d.valid(), due)
			}
			for _, r := range due {
				d.write(r)
			}
			if d.beat(); !d.valid() {
				t.Error("no lease after everything is confirmed")
			}
		})
	}
}

// One on the list that goes on owing entries, or that neither speaks nor goes off the list, does not keep a newcomer waiting for ever:
// it counts as one that may have taken the only record of a purge with it, and everything is confirmed (R16).
func TestInstanceThatNeverSettles(t *testing.T) {
	for _, c := range []struct {
		name   string
		peer   Peer
		living bool
	}{
		{"it owes", Peer{Name: "other", Lease: deskLease, Term: 1, Owes: true}, true},
		{"it is silent", Peer{Name: "other", Lease: deskLease, Term: 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.terms = []Term{{Name: 1}}
			d.live, d.living = append(d.live, c.peer), c.living
			d.newcomer()
			began, before := d.now, d.ledger.Token()
			for d.now.Sub(began) < graceAtMost*invalidation.Timeout(deskLease) {
				if d.beat(); d.valid() || len(d.f.Due(10, d.now.Add(time.Second))) > 0 {
					t.Fatalf("the wait has ended after %v", d.now.Sub(began))
				}
				d.pass(deskLease / 4)
			}
			d.beat()
			due := d.f.Due(10, d.now.Add(time.Second))
			if d.valid() || len(due) != 1 || due[0].Operation != invalidation.InvalidateConfirm || d.ledger.Admits(before, []invalidation.ID{allID}) {
				t.Fatalf("a lease: %v; to be written: %+v", d.valid(), due)
			}
			d.write(due[0])
			if d.beat(); !d.valid() {
				t.Error("no lease after everything is confirmed")
			}
		})
	}
}

// An instance whose lease has lapsed has not held it for long, however long it did before.
func TestHeldIsWithoutABreak(t *testing.T) {
	d := newDesk(t)
	d.terms = []Term{{Name: 1}}
	d.beat()
	d.pass(deskLease / 2)
	d.beat()
	if held := d.f.Request(d.now).Held; held != deskLease/2 {
		t.Errorf("held for %v, want %v", held, deskLease/2)
	}
	d.terms = append(d.terms, Term{Name: 2})
	d.beat()
	if held := d.f.Request(d.now).Held; held != 0 {
		t.Errorf("held for %v in a term that has just begun", held)
	}
	d.pass(deskLease)
	if held := d.f.Request(d.now).Held; held != 0 {
		t.Errorf("held for %v after it lapsed", held)
	}
	d.beat()
	if held := d.f.Request(d.now).Held; held != 0 {
		t.Errorf("held for %v after a break", held)
	}
}

// Whoever waits for an instance waits for its lease and not by its own (R14), and a lease that only the log knows of counts until
// the epoch has settled (R13).
func TestLeasesOfOthersCount(t *testing.T) {
	d := newDesk(t)
	d.living = true
	d.live = append(d.live, Peer{Name: "long", Lease: 3 * deskLease}, Peer{Name: "short", Lease: deskLease / 2})
	d.beat()
	d.living = false
	suspected := func() (names []string) {
		for _, p := range d.f.Suspected(d.now) {
			names = append(names, p.Name)
		}
		return names
	}
	start := d.now
	for _, c := range []struct {
		after time.Duration
		want  []string
	}{
		{invalidation.Timeout(deskLease/2) - 1, nil},
		{invalidation.Timeout(deskLease / 2), []string{"short"}},
		{invalidation.Timeout(3*deskLease) - 1, []string{"short"}},
		{invalidation.Timeout(3 * deskLease), []string{"long", "short"}},
	} {
		for d.now.Before(start.Add(c.after)) {
			d.pass(min(deskLease/4, start.Add(c.after).Sub(d.now)))
			d.beat()
		}
		if got := suspected(); !slices.Equal(got, c.want) {
			t.Errorf("after %v suspected are %v, want %v", c.after, got, c.want)
		}
	}
	d.live = d.live[:1]
	d.server = "s2"
	d.beat()
	if got := d.f.LeaseTimeout(); got != invalidation.Timeout(3*deskLease) {
		t.Errorf("at a server that knows nobody, leases are waited for %v", got)
	}
	for range 20 {
		d.pass(deskLease / 4)
		d.beat()
	}
	for range 20 {
		d.pass(deskLease / 4)
		d.beat()
	}
	if got := d.f.LeaseTimeout(); got != invalidation.Timeout(deskLease) {
		t.Errorf("long after, they are waited for %v", got)
	}
}

// A server that does not name itself extends no lease: its terms cannot be told apart.
func TestNoLeaseFromAServerWithoutAName(t *testing.T) {
	d := newDesk(t)
	d.pass(deskLease)
	d.server = ""
	for range 50 {
		d.pass(deskLease / 4)
		if d.beat(); d.valid() {
			t.Fatal("a lease")
		}
	}
}
