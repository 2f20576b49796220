package fleet

import (
	"testing"

	"cacheproxy/invalidation"
)

// An entry that comes beside the heartbeats is applied where it follows on the last one, and nowhere else (R19): two logs that differ
// before it must not be taken for one.
func TestHear(t *testing.T) {
	for _, c := range []struct {
		about  string
		change func(*Heard)
		heard  bool
	}{
		{"the next", func(*Heard) {}, true},
		{"one that was applied", func(e *Heard) { e.Seq-- }, false},
		{"one that follows on something missed", func(e *Heard) { e.Seq++ }, false},
		{"the next of a log that has another entry in the last one's place", func(e *Heard) { e.Previous++ }, false},
		{"one of which nobody says what it follows on", func(e *Heard) { e.Previous = 0 }, false},
	} {
		d := newDesk(t)
		d.write(invalidation.Record{IDs: []invalidation.ID{allID}})
		d.beat()
		_, at := d.f.Place()
		e := Heard{invalidation.Record{Seq: at.Seq + 1, Nonce: 77, IDs: []invalidation.ID{allID}}, at.Nonce}
		c.change(&e)
		before, token := d.lease.Left(d.now), d.ledger.Token()
		if got := d.f.Hear(e, d.now); got != c.heard || (d.ledger.Token() != token) != c.heard {
			t.Errorf("%s: heard %v, want %v", c.about, got, c.heard)
		}
		if _, now := d.f.Place(); (now == Place{e.Seq, e.Nonce}) != c.heard {
			t.Errorf("%s: acknowledges %v", c.about, now)
		}
		if d.lease.Left(d.now) != before {
			t.Errorf("%s: the lease was changed by what brings no word of the rest", c.about)
		}
	}
}

// Who has applied nothing does not know what to follow on: the first entry comes with a heartbeat.
func TestHearNothingFirst(t *testing.T) {
	d := newDesk(t)
	if d.f.Hear(Heard{invalidation.Record{Seq: 1, Nonce: 7}, 0}, d.now) {
		t.Error("applied")
	}
}

// An entry that was heard and is not in the log of the server that answers is written again, as any that a server has lost (R9).
func TestHeardAndLost(t *testing.T) {
	d := newDesk(t)
	d.write(invalidation.Record{IDs: []invalidation.ID{allID}})
	d.beat()
	_, at := d.f.Place()
	if !d.f.Hear(Heard{invalidation.Record{Seq: at.Seq + 1, Nonce: 77, IDs: []invalidation.ID{allID}}, at.Nonce}, d.now) {
		t.Fatal("not heard")
	}
	if step := d.f.Receive(d.f.Request(d.now), SyncReply{Status: Diverged, Server: "s2"}, d.now); step != CompareLogs {
		t.Fatalf("step %v", step)
	}
	common, found := d.f.LastCommon([]Place{at})
	d.f.Rewind(common, found, d.now)
	if !found || !d.f.Owes() {
		t.Errorf("found %v, owes %v", found, d.f.Owes())
	}
}
