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
		s := Snapshot{History: d.f.history, Fences: []invalidation.Record{begun}}
		for _, r := range missed {
			d.write(r)
			for _, id := range r.IDs {
				s.Marks = append(s.Marks, Mark{ID: id, Seq: d.log[len(d.log)-1].Seq})
			}
		}
		last := d.log[len(d.log)-1]
		s.Seq, s.Nonce = last.Seq, last.Nonce
		d.f.Hear(d.f.Ask(d.now), Answer{Status: Gap, Server: d.server}, d.now)
		d.f.Load(s, d.now)
	}
	end := invalidation.Record{Operation: invalidation.EndFence, IDs: []invalidation.ID{simKeyID(1), simKeyID(3)}, Fence: fence}
	for _, c := range []struct {
		name  string
		while func(d *desk)
		want  bool
	}{
		{"nothing happens", func(*desk) {}, true},
		{"renewed", func(d *desk) { apply(d, begun, begun) }, true},
		{"others' members are purged, renewed", func(d *desk) { apply(d, entryOf(2), begun) }, true},
		{"its member is purged", func(d *desk) { apply(d, entryOf(1)) }, false},
		{"its member is purged, renewed", func(d *desk) { apply(d, entryOf(1), begun, begun) }, false},
		{"renewed, its member is purged, renewed", func(d *desk) { apply(d, begun, entryOf(1), begun) }, false},
		{"its member is purged here alone, renewed", func(d *desk) {
			d.f.ApplyHere(false, []invalidation.ID{simKeyID(1)}, d.now)
			apply(d, begun)
		}, false},
		{"what only its end names is purged", func(d *desk) { apply(d, entryOf(3)) }, false},
		{"a snapshot after a gap", func(d *desk) { gap(d, entryOf(2)) }, true},
		{"its member is purged within a gap", func(d *desk) { gap(d, entryOf(1)) }, false},
		{"its member is purged last of all within a gap", func(d *desk) { gap(d, entryOf(2), entryOf(1)) }, false},
		{"another fence", func(d *desk) {
			apply(d, invalidation.Record{Operation: invalidation.BeginFence, IDs: begun.IDs, Fence: 6, Life: time.Minute}, begun)
		}, false},
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
	}
}
