package fleet

import (
	"testing"
	"time"

	"cacheproxy/invalidation"
)

// desk is a follower with a test for a server, in a time of its own.
type desk struct {
	t      *testing.T
	f      *Follower
	ledger *invalidation.Ledger
	lease  *invalidation.Lease
	now    time.Time
	log    []invalidation.Record // what the server holds
	server string
	terms  []Term
	live   []Peer
	living bool // the others' heartbeats go on
	old    bool // they are of a version that does not say its lease
}

var deskHistory = NewHistory([16]byte{1, 2, 3})

const deskLease = 10 * time.Second

// newDesk makes a follower that has joined an empty log.
func newDesk(t *testing.T) *desk {
	d := &desk{t: t, ledger: invalidation.NewLedger(), now: simStart, server: "s1"}
	d.lease = invalidation.NewLease(d.now)
	d.f = NewFollower(d.ledger, d.lease, deskLease, "me", 1)
	d.live = []Peer{{Name: "me"}}
	if step := d.f.Receive(d.f.Request(d.now), SyncReply{Status: OtherHistory, Server: d.server}, d.now); step != FetchSnapshot {
		t.Fatalf("a newcomer is told to %v", step)
	}
	d.f.InstallSnapshot(Snapshot{History: deskHistory}, d.now)
	d.beat()
	d.pass(invalidation.Timeout(deskLease))
	d.beat()
	return d
}

func (d *desk) pass(p time.Duration) { d.now = d.now.Add(p) }

// write adds an entry to the server's log.
func (d *desk) write(r invalidation.Record) invalidation.Record {
	r.Seq = uint64(len(d.log)) + 1
	r.Nonce = r.Seq*100 + 7 + uint64(len(d.terms))
	d.log = append(d.log, r)
	return r
}

// beat syncs until there is nothing new.
func (d *desk) beat() {
	for d.reply(len(d.log)) == SyncAgain {
	}
}

// reply gives at most so many entries to the next request.
func (d *desk) reply(most int) Step {
	for i := range d.live {
		if d.live[i].Lease == 0 && !d.old {
			d.live[i].Lease = deskLease
		}
		if d.living && d.live[i].Name != "me" {
			d.live[i].Beat++
		}
	}
	q := d.f.Request(d.now)
	a := SyncReply{Server: d.server, Terms: d.terms, Seq: uint64(len(d.log)), Live: d.live}
	if q.Applied < a.Seq {
		rest := d.log[q.Applied:]
		a.Records = rest[:min(len(rest), most)]
	}
	return d.f.Receive(q, a, d.now)
}

func (d *desk) valid() bool { return d.lease.Valid(d.now) }

func (d *desk) admits(t invalidation.Token, ids ...invalidation.ID) bool {
	return d.ledger.Admits(t, append(ids, allID))
}

func entryOf(n int) invalidation.Record {
	return invalidation.Record{Operation: invalidation.Invalidate, IDs: []invalidation.ID{simKeyID(n)}}
}

// The lease counts from when the request was sent (R7), less the margin.
func TestLeaseCountsFromTheRequest(t *testing.T) {
	d := newDesk(t)
	q := d.f.Request(d.now)
	sent := d.now
	d.pass(4 * time.Second)
	d.f.Receive(q, SyncReply{Server: d.server, Live: d.live}, d.now)
	end := sent.Add(deskLease - invalidation.Margin(deskLease))
	if !d.lease.Valid(end.Add(-1)) || d.lease.Valid(end) {
		t.Errorf("the lease does not end %v after the request", deskLease-invalidation.Margin(deskLease))
	}
}

// A reply that does not bring everything does not extend the lease (R7).
func TestLeaseNeedsEverything(t *testing.T) {
	d := newDesk(t)
	d.pass(deskLease)
	for n := range 3 {
		d.write(entryOf(n))
	}
	if step := d.reply(1); step != SyncAgain || d.valid() {
		t.Fatalf("after one of three entries: step %v, lease %v", step, d.valid())
	}
	if d.reply(2); !d.valid() {
		t.Error("everything is applied, and there is no lease")
	}
}

// Of several requests only the reply to the latest counts.
func TestLateReplyIsIgnored(t *testing.T) {
	d := newDesk(t)
	early := d.f.Request(d.now)
	d.pass(deskLease)
	d.f.Request(d.now)
	d.write(entryOf(1))
	if step := d.f.Receive(early, SyncReply{Server: d.server, Seq: 1, Records: d.log, Live: d.live}, d.now); step != Idle || d.f.Applied() != 0 || d.valid() {
		t.Errorf("step %v, applied %d, lease %v", step, d.f.Applied(), d.valid())
	}
}

// Who has lost its lease takes none from another server until the others have had time to write what that one has lost.
func TestGraceAfterAnotherServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		away   time.Duration
		server string
		leased bool
	}{
		{"the same server", deskLease, "s1", true},
		{"another server", deskLease, "s2", false},
		{"another server, with the lease held", time.Second, "s2", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.pass(c.away)
			d.server = c.server
			d.beat()
			if d.valid() != c.leased {
				t.Fatalf("lease %v, want %v", d.valid(), c.leased)
			}
			d.pass(deskLease + invalidation.Margin(deskLease))
			if d.beat(); !d.valid() {
				t.Error("no lease after all others have come over or lost theirs")
			}
		})
	}
}

// Who has lost its lease, and meets another server, waits for what those that are there have to say: for a heartbeat of each, and
// for the end of what it owes. One that says nothing more does not keep it waiting once it was taken off the list.
func TestQuorumSettlesFirst(t *testing.T) {
	d := newDesk(t)
	d.pass(deskLease)
	d.server = "s2"
	d.live = append(d.live, Peer{Name: "other", Owes: true})
	d.beat()
	d.pass(deskLease + invalidation.Margin(deskLease))
	if d.beat(); d.valid() {
		t.Fatal("a lease before the other was heard of")
	}
	d.living = true
	if d.beat(); d.valid() {
		t.Fatal("a lease while the other owes entries")
	}
	d.live[1].Owes = false
	if d.beat(); !d.valid() {
		t.Fatal("no lease although the other has said all")
	}
	d.pass(deskLease)
	d.server, d.living = "s3", false
	d.beat()
	d.pass(deskLease + invalidation.Margin(deskLease))
	if d.beat(); d.valid() {
		t.Fatal("a lease before the other was heard of on the third server")
	}
	d.live = d.live[:1]
	if d.beat(); !d.valid() {
		t.Error("no lease although nobody else is there")
	}
}

// An empty log on a server that has been there for long is as new as another server: nobody has to be registered in it yet.
func TestConfirmationInANewLog(t *testing.T) {
	for _, c := range []struct {
		name string
		does func(d *desk)
		at   time.Duration // from when purges can be confirmed
	}{
		{"it was emptied", func(d *desk) {
			d.f.Receive(d.f.Request(d.now), SyncReply{Status: NoHistory}, d.now)
			d.f.Receive(d.f.Request(d.now), SyncReply{Status: OtherHistory}, d.now)
		}, deskLease + invalidation.Margin(deskLease)},
		{"it was emptied before this instance came, or has been there for long", func(d *desk) {
			d.lease = invalidation.NewLease(d.now)
			d.f = NewFollower(invalidation.NewLedger(), d.lease, deskLease, "me", 1)
			d.f.Receive(d.f.Request(d.now), SyncReply{Status: OtherHistory}, d.now)
		}, deskLease + invalidation.Margin(deskLease)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.pass(time.Second)
			d.log = nil
			c.does(d)
			d.f.InstallSnapshot(Snapshot{History: NewHistory([16]byte{7}), Previous: deskHistory}, d.now)
			d.f.Receive(d.f.Request(d.now), SyncReply{Server: d.server, Live: d.live}, d.now)
			done := func() bool {
				done, _ := d.f.Confirm(1, &Witness{}, d.now).Observe([]Peer{{Name: "me", Applied: 1}}, d.now)
				return done
			}
			d.pass(c.at - 1)
			if done() {
				t.Error("confirmed while others may not have come over")
			}
			d.pass(1)
			if !done() {
				t.Error("not confirmed")
			}
		})
	}
}

// A purge is not confirmed by a server that has just taken over before every instance of the one before has come over or lost
// its lease.
func TestConfirmationAfterTakeover(t *testing.T) {
	d := newDesk(t)
	d.pass(time.Hour)
	d.beat()
	d.write(entryOf(1))
	d.beat()
	applied := []Peer{{Name: "me", Applied: 1}}
	if done, _ := d.f.Confirm(1, &Witness{}, d.now).Observe(applied, d.now); !done {
		t.Fatal("not confirmed although all have applied it")
	}
	d.server = "s2"
	d.beat()
	c := d.f.Confirm(1, &Witness{}, d.now)
	if done, _ := c.Observe(applied, d.now); done {
		t.Error("confirmed while others may still be with the server before")
	}
	d.pass(deskLease + invalidation.Margin(deskLease))
	if done, _ := c.Observe(applied, d.now); !done {
		t.Error("still not confirmed")
	}
}

// Where somebody has taken instances off the list, they are waited for whatever the list says since.
func TestConfirmationInAnotherEditionOfTheList(t *testing.T) {
	d := newDesk(t)
	alone := []Peer{{Name: "me", Lease: deskLease}}
	listed := func(edition string) {
		d.f.Receive(d.f.Request(d.now), SyncReply{Server: d.server, Terms: d.terms, Seq: uint64(len(d.log)), Live: alone, Edition: edition}, d.now)
	}
	d.pass(time.Hour)
	d.write(entryOf(1))
	d.beat()
	applied := []Peer{{Name: "me", Applied: 1, Lease: deskLease}}
	confirmed := func(edition string, on ...string) (witnessed, observed bool) {
		w := new(Witness)
		w.Read(List{d.server, edition, on})
		c := d.f.Confirm(1, w, d.now)
		observed, _ = c.Observe(applied, d.now)
		return c.Witnessed(d.now), observed
	}
	listed("1")
	if witnessed, observed := confirmed("1", "me"); !witnessed || !observed {
		t.Errorf("in the same edition: %t, %t", witnessed, observed)
	}
	if witnessed, _ := confirmed("1"); witnessed {
		t.Error("confirmed by a list without the writer")
	}
	if witnessed, _ := confirmed("2", "me"); witnessed {
		t.Error("confirmed by a list in an edition that no reply has told of")
	}
	listed("2")
	if witnessed, observed := confirmed("2", "me"); witnessed || observed {
		t.Errorf("in another edition: %t, %t", witnessed, observed)
	}
	d.pass(deskLease + invalidation.Margin(deskLease))
	if witnessed, observed := confirmed("2", "me"); !witnessed || !observed {
		t.Errorf("after a lease: %t, %t", witnessed, observed)
	}
}

// Nobody vouches for a time before the present edition of the list, neither who knew the one before to others, nor others to who did.
func TestNobodyVouchesForAnotherEditionOfTheList(t *testing.T) {
	d := newDesk(t)
	listed := func(edition string) {
		d.f.Receive(d.f.Request(d.now), SyncReply{Server: d.server, Terms: d.terms, Seq: uint64(len(d.log)), Live: []Peer{{Name: "me", Lease: deskLease}}, Edition: edition}, d.now)
	}
	for range 10 {
		listed("1")
		d.pass(time.Second)
	}
	if held := d.f.Request(d.now).Held; held < 5*time.Second {
		t.Fatalf("held for %v", held)
	}
	listed("2")
	d.pass(time.Second)
	if q := d.f.Request(d.now); q.Held != time.Second || q.Edition != "2" {
		t.Errorf("held for %v with edition %q of the list", q.Held, q.Edition)
	}
	for _, c := range []struct {
		edited time.Time
		want   bool
	}{{time.Time{}, true}, {d.now.Add(-2 * time.Hour), true}, {d.now.Add(-time.Minute), false}} {
		g := grace{name: "me", own: deskLease, firstBeats: map[string]uint64{"other": 1}, epochStart: d.now, edited: c.edited}
		if got := g.vouched([]Peer{{Name: "other", Beat: 2, Term: 1, Held: time.Hour, Lease: deskLease}}, 1, d.now); got != c.want || got == g.epochStart.Equal(d.now) {
			t.Errorf("another edition at %v: vouched %t, epoch since %v", c.edited, got, g.epochStart)
		}
	}
}

// A copy that was found valid in the log of now is one of that log, however long ago it was fetched.
func TestCopiesMoveToAnotherHistory(t *testing.T) {
	d := newDesk(t)
	ids := []invalidation.ID{allID, simKeyID(1)}
	var s invalidation.Stamp
	s.Set(d.ledger.Token())
	d.write(entryOf(2))
	d.beat()
	d.log = nil
	d.f.Receive(d.f.Request(d.now), SyncReply{Status: OtherHistory, Server: "s2"}, d.now)
	d.f.InstallSnapshot(Snapshot{History: NewHistory([16]byte{7}), Previous: deskHistory}, d.now)
	if _, ok := d.f.ToLog(s.Token()); ok {
		t.Error("a position of the log before is handed on as one of this one")
	}
	d.write(entryOf(3))
	d.beat()
	if v := d.ledger.Check(&s, ids); v != invalidation.Valid {
		t.Fatalf("the copy is %v", v)
	}
	at, ok := d.f.ToLog(s.Checked())
	if !ok || at.Seq != 1 {
		t.Errorf("checked, it stands at %+v, %v", at, ok)
	}
}

// No position is vouched for while an entry is owed: a log that came back without a purge holds copies from before it (R3).
func TestNoPositionWhileOwing(t *testing.T) {
	d := newDesk(t)
	d.terms = []Term{{Name: 1}}
	d.write(entryOf(1))
	d.beat()
	at, ok := d.f.ToLog(d.ledger.Token())
	if _, vouched := d.f.FromLog(at); !ok || !vouched {
		t.Fatal("the position of the last entry is not vouched for")
	}
	d.f.Queue(9, entryOf(2), d.now)
	if _, vouched := d.f.FromLog(at); vouched {
		t.Error("vouched for while an entry is owed")
	}
	r := entryOf(2)
	r.Repeats = 9
	d.write(r)
	d.beat()
	if _, vouched := d.f.FromLog(at); !vouched {
		t.Error("not vouched for after the entry has come back")
	}
}

// Of a version that does not say its lease it is not known that it reads entries that ask for confirmation.
func TestUnderstood(t *testing.T) {
	d := newDesk(t)
	if !d.f.Understood(invalidation.InvalidateConfirm) {
		t.Error("alone, it is not understood")
	}
	d.old, d.live = true, append(d.live, Peer{Name: "old"})
	d.beat()
	if d.f.Understood(invalidation.InvalidateConfirm) || !d.f.Understood(invalidation.InvalidateSoft) {
		t.Error("an older version is there")
	}
}
