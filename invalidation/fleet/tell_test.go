package fleet

import (
	"testing"

	"cacheproxy/invalidation"
)

// An instance that has not told of its copies holds no lease, whatever the log says, and applies its entries all the same (R18).
func TestWithheldLease(t *testing.T) {
	d := newDesk(t)
	if !d.lease.Valid(d.now) {
		t.Fatal("no lease to begin with")
	}
	d.f.Withhold(d.now)
	if d.lease.Valid(d.now) {
		t.Error("a lease that is withheld holds")
	}
	d.write(invalidation.Record{IDs: []invalidation.ID{allID}})
	d.beat()
	d.beat()
	if d.lease.Valid(d.now) || d.f.Applied() != uint64(len(d.log)) {
		t.Errorf("lease %v, applied %d of %d", d.lease.Valid(d.now), d.f.Applied(), len(d.log))
	}
	d.f.Release()
	d.beat()
	if !d.lease.Valid(d.now) {
		t.Error("no lease although nothing keeps it any more")
	}
}

// A version that does not tell of its copies counts its heartbeats from 1 (R18), and one of this version is known by its first one.
func TestAllTell(t *testing.T) {
	d := newDesk(t)
	if first := d.f.Request(d.now).Beat; first < firstBeat {
		t.Fatalf("heartbeat %d", first)
	}
	d.live = []Peer{{Name: "me", Beat: firstBeat + 9}, {Name: "new", Beat: firstBeat + 1}}
	d.beat()
	if !d.f.AllTell() {
		t.Error("all are of this version")
	}
	if !d.f.View().AllSpeak {
		t.Error("the entries of all are told")
	}
	d.live = append(d.live, Peer{Name: "before", Beat: tellsBeat + 9})
	d.beat()
	if !d.f.AllTell() || d.f.View().AllSpeak {
		t.Error("one is of the version before, which tells of its copies and does not have its entries told")
	}
	d.live = append(d.live, Peer{Name: "old", Beat: 1 << 40})
	d.beat()
	if d.f.AllTell() {
		t.Error("one is of a version before")
	}
}
