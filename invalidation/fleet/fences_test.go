package fleet

import (
	"testing"
	"time"

	"cacheproxy/invalidation"
)

// Between the beginning of a fence and its end, its renewals and the snapshots of the log leave marks of their own on its
// members. What they stand over is told with the end all the same.
func TestQuietOfAFence(t *testing.T) {
	const fence = 5
	begun := invalidation.Record{Operation: invalidation.BeginFence, IDs: []invalidation.ID{simKeyID(1)}, Fence: fence, Life: time.Minute}
	apply := func(d *desk, records ...invalidation.Record) {
		for _, r := range records {
			d.write(r)
		}
		d.beat()
	}
	// gap has the fence come again with a snapshot after what the instance has missed.
	gap := func(d *desk, missed ...invalidation.Record) {
		s := Snapshot{History: d.f.positions.history, Fences: []invalidation.Record{begun}}
		for _, r := range missed {
			d.write(r)
			for _, id := range r.IDs {
				s.Marks = append(s.Marks, Mark{ID: id, Seq: d.log[len(d.log)-1].Seq})
			}
		}
		last := d.log[len(d.log)-1]
		s.Seq, s.Nonce = last.Seq, last.Nonce
		d.f.Receive(d.f.Request(d.now), SyncReply{Status: Gap, Server: d.server}, d.now)
		d.f.InstallSnapshot(s, d.now)
	}
	end := invalidation.Record{Operation: invalidation.EndFence, IDs: []invalidation.ID{simKeyID(1), simKeyID(3)}, Fence: fence}
	undone := invalidation.Record{Operation: invalidation.EndFence, IDs: begun.IDs, Fence: fence, Life: time.Millisecond}
	for _, c := range []struct {
		name  string
		while func(d *desk)
		want  bool
		gone  bool // copies from before do not come back all the same
	}{
		{"nothing happens", func(*desk) {}, true, false},
		{"renewed", func(d *desk) { apply(d, begun, begun) }, true, false},
		{"others' members are purged, renewed", func(d *desk) { apply(d, entryOf(2), begun) }, true, false},
		{"its member is purged", func(d *desk) { apply(d, entryOf(1)) }, false, true},
		{"its member is purged, renewed", func(d *desk) { apply(d, entryOf(1), begun, begun) }, false, true},
		{"renewed, its member is purged, renewed", func(d *desk) { apply(d, begun, entryOf(1), begun) }, false, true},
		{"its member is purged here alone, renewed", func(d *desk) {
			d.f.ApplyLocally(invalidation.Entry{IDs: []invalidation.ID{simKeyID(1)}}, d.now)
			apply(d, begun)
		}, false, true},
		{"what only its end names is purged", func(d *desk) { apply(d, entryOf(3)) }, false, false},
		{"a snapshot after a gap", func(d *desk) { gap(d, entryOf(2)) }, true, false},
		{"its member is purged within a gap", func(d *desk) { gap(d, entryOf(1)) }, false, true},
		{"its member is purged last of all within a gap", func(d *desk) { gap(d, entryOf(2), entryOf(1)) }, false, true},
		{"another fence", func(d *desk) {
			apply(d, invalidation.Record{Operation: invalidation.BeginFence, IDs: begun.IDs, Fence: 6, Life: time.Minute}, begun)
		}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			apply(d, entryOf(1), begun)
			since := d.ledger.Token()
			c.while(d)
			d.f.Events()
			apply(d, end)
			events := d.f.Events()
			last := events[len(events)-1]
			if got := (invalidation.Receipt{Position: last.Position, Quiet: last.Quiet}).Exclusive(since); got != c.want {
				t.Errorf("exclusive: %v, want %v: since %d, %+v", got, c.want, since.Position(), last)
			}
		})
		t.Run(c.name+", and nothing came of it", func(t *testing.T) {
			d := newDesk(t)
			apply(d, entryOf(1))
			var stamp invalidation.Stamp
			stamp.Set(d.ledger.Token())
			apply(d, begun)
			c.while(d)
			if verdict := d.ledger.Check(&stamp, begun.IDs); verdict == invalidation.Valid {
				t.Error("a copy is usable while the fence stands")
			}
			apply(d, undone)
			if gone := d.ledger.Check(&stamp, begun.IDs) != invalidation.Valid; gone != c.gone {
				t.Errorf("the copy from before is gone: %v, want %v", gone, c.gone)
			}
			apply(d, entryOf(1))
			if d.ledger.Check(&stamp, begun.IDs) == invalidation.Valid {
				t.Error("a purge after the fence leaves the copy usable")
			}
		})
	}
}
