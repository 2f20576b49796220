package fleet

import (
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Nobody waits for the end of a fence that stands everywhere and keeps requests from all that the end names (R15), and only then.
func TestConclude(t *testing.T) {
	const fence = 5
	key, tag := simKeyID(1), simTagID(1)
	group := invalidation.IDOf(policy.NewMember(policy.KindGroup, "g"))
	for _, c := range []struct {
		about string
		ids   []invalidation.ID // of the fence
		end   []invalidation.ID
		while func(d *desk)
		want  bool
	}{
		{"it stands", []invalidation.ID{key}, []invalidation.ID{key}, func(*desk) {}, true},
		{"everything is fenced", []invalidation.ID{allID}, []invalidation.ID{allID}, func(*desk) {}, true},
		{"it has stood for some time", []invalidation.ID{key}, []invalidation.ID{key}, func(d *desk) { d.pass(FenceLife/3 - time.Second); d.beat() }, true},
		{"others may take its writer for dead soon", []invalidation.ID{key}, []invalidation.ID{key}, func(d *desk) { d.pass(FenceLife / 3); d.beat() }, false},
		{"no lease", []invalidation.ID{key}, []invalidation.ID{key}, func(d *desk) { d.pass(deskLease) }, false},
		{"another server", []invalidation.ID{key}, []invalidation.ID{key}, func(d *desk) { d.server = "s2"; d.beat() }, false},
		{"its beginning was lost", []invalidation.ID{key}, []invalidation.ID{key}, func(d *desk) {
			at := d.log[len(d.log)-2]
			d.f.Rewind(Place{at.Seq, at.Nonce}, true, d.now)
		}, false},
		{"another log", []invalidation.ID{key}, []invalidation.ID{key}, func(d *desk) {
			d.f.InstallSnapshot(Snapshot{History: NewHistory([16]byte{9})}, d.now)
		}, false},
		{"it was ended", []invalidation.ID{key}, []invalidation.ID{key}, func(d *desk) {
			d.write(invalidation.Record{Operation: invalidation.EndFence, IDs: []invalidation.ID{key}, Fence: fence})
			d.beat()
		}, false},
		{"the answer names something else", []invalidation.ID{key}, []invalidation.ID{key, simKeyID(2)}, func(*desk) {}, false},
		{"a tag, which answers name", []invalidation.ID{key, tag}, []invalidation.ID{key, tag}, func(*desk) {}, false},
		{"a group, which answers name", []invalidation.ID{group}, []invalidation.ID{group}, func(*desk) {}, false},
		{"one that shares fetches of what is fenced", []invalidation.ID{key}, []invalidation.ID{key}, func(d *desk) {
			d.live = append(d.live, Peer{Name: "older", Beat: tellsBeat + 9})
			d.beat()
		}, false},
	} {
		t.Run(c.about, func(t *testing.T) {
			d := newDesk(t)
			d.live[0].Beat = firstBeat
			d.write(entryOf(7))
			d.beat()
			epoch, begun := d.f.View().Epoch, d.now
			d.write(invalidation.Record{Operation: invalidation.BeginFence, IDs: c.ids, Fence: fence, Life: FenceLife})
			d.beat()
			d.f.Hold(fence, epoch, begun)
			c.while(d)
			end, ok := d.f.Conclude(invalidation.Record{Operation: invalidation.EndFence, IDs: c.end, Fence: fence}, d.now)
			if ok != c.want {
				t.Fatalf("concluded %v, want %v", ok, c.want)
			}
			if !ok {
				return
			}
			if d.f.Owes() {
				t.Error("no lease is taken until the end is written, although the fence stands")
			}
			if _, again := d.f.Conclude(end, d.now); again {
				t.Error("concluded twice")
			}
			if due := d.f.Due(10, d.now.Add(resendAfter)); len(due) != 1 || due[0].Operation != invalidation.EndFence || due[0].Repeats != end.Repeats {
				t.Errorf("due is %+v", due)
			}
			d.write(end)
			d.beat()
			if due := d.f.Due(10, d.now.Add(2*FenceLife)); len(due) != 0 || d.ledger.Fenced(c.ids) {
				t.Errorf("after the end is in the log, due is %+v; fenced: %v", due, d.ledger.Fenced(c.ids))
			}
		})
	}
}

// A fence that another log does not know of goes on, since its writer may take it to stand; in the log that it was begun in it has ended.
func TestFenceInAnotherLog(t *testing.T) {
	for _, another := range []bool{true, false} {
		d := newDesk(t)
		ids := []invalidation.ID{simKeyID(1)}
		begun := d.write(invalidation.Record{Operation: invalidation.BeginFence, IDs: ids, Fence: 5, Life: FenceLife})
		d.beat()
		s := Snapshot{History: deskHistory, Seq: begun.Seq, Nonce: begun.Nonce}
		if another {
			s = Snapshot{History: NewHistory([16]byte{9})}
		}
		d.f.InstallSnapshot(s, d.now)
		if got := d.ledger.Fenced(ids); got != another {
			t.Errorf("another log: %v; fenced: %v", another, got)
		}
	}
}
