package invalidation

import (
	"errors"
	"testing"
	"time"

	"cacheproxy/policy"
)

// desk is a follower whose questions a test answers by hand, in a time of its own.
type desk struct {
	t      *testing.T
	f      *Follower
	ledger *Ledger
	lease  *Lease
	now    time.Time
	log    []Record // what the server holds
	server string
	terms  []Term
	live   []Peer
}

var deskHistory = NewHistory([16]byte{1, 2, 3})

const deskLease = 10 * time.Second

// newDesk makes a follower that has joined an empty log.
func newDesk(t *testing.T) *desk {
	d := &desk{t: t, ledger: NewLedger(), now: epochStart, server: "s1"}
	d.lease = NewLease(d.now)
	d.f = NewFollower(d.ledger, d.lease, deskLease, "me", 1)
	d.live = []Peer{{Name: "me"}}
	if step := d.f.Hear(d.f.Ask(d.now), Answer{Status: OtherHistory, Server: d.server}, d.now); step != Fetch {
		t.Fatalf("a newcomer is told to %v", step)
	}
	d.f.Load(Snapshot{History: deskHistory}, d.now)
	d.beat()
	return d
}

func (d *desk) pass(p time.Duration) { d.now = d.now.Add(p) }

// write adds an entry to the server's log.
func (d *desk) write(r Record) Record {
	r.Seq = uint64(len(d.log)) + 1
	r.Nonce = r.Seq*100 + 7 + uint64(len(d.terms))
	d.log = append(d.log, r)
	return r
}

// beat asks and answers until there is nothing new.
func (d *desk) beat() {
	for d.answer(len(d.log)) == AskAgain {
	}
}

// answer gives at most so many entries to the next question.
func (d *desk) answer(most int) Step {
	q := d.f.Ask(d.now)
	a := Answer{Server: d.server, Terms: d.terms, Seq: uint64(len(d.log)), Live: d.live}
	if q.Applied < a.Seq {
		rest := d.log[q.Applied:]
		a.Records = rest[:min(len(rest), most)]
	}
	return d.f.Hear(q, a, d.now)
}

func (d *desk) valid() bool { return d.lease.Valid(d.now) }

func (d *desk) admits(t Token, ids ...ID) bool { return d.ledger.Admits(t, append(ids, allID)) }

func entryOf(n int) Record { return Record{Operation: Invalidate, IDs: []ID{simKeyID(n)}} }

// The lease counts from when the question was sent (R7), less the margin.
func TestLeaseCountsFromTheQuestion(t *testing.T) {
	d := newDesk(t)
	q := d.f.Ask(d.now)
	sent := d.now
	d.pass(4 * time.Second)
	d.f.Hear(q, Answer{Server: d.server, Live: d.live}, d.now)
	end := sent.Add(deskLease - Margin(deskLease))
	if !d.lease.Valid(end.Add(-1)) || d.lease.Valid(end) {
		t.Errorf("the lease does not end %v after the question", deskLease-Margin(deskLease))
	}
}

// An answer that does not bring everything does not extend the lease (R7).
func TestLeaseNeedsEverything(t *testing.T) {
	d := newDesk(t)
	d.pass(deskLease)
	for n := range 3 {
		d.write(entryOf(n))
	}
	if step := d.answer(1); step != AskAgain || d.valid() {
		t.Fatalf("after one of three entries: step %v, lease %v", step, d.valid())
	}
	if d.answer(2); !d.valid() {
		t.Error("everything is applied, and there is no lease")
	}
}

// Of several questions only the answer to the latest counts.
func TestLateAnswerIsIgnored(t *testing.T) {
	d := newDesk(t)
	early := d.f.Ask(d.now)
	d.pass(deskLease)
	d.f.Ask(d.now)
	d.write(entryOf(1))
	if step := d.f.Hear(early, Answer{Server: d.server, Seq: 1, Records: d.log, Live: d.live}, d.now); step != Rest || d.f.Applied() != 0 || d.valid() {
		t.Errorf("step %v, applied %d, lease %v", step, d.f.Applied(), d.valid())
	}
}

// Who has lost its lease takes none from another server until the others have had time to write what that one has lost.
func TestAnotherServerIsNotTrustedAtOnce(t *testing.T) {
	for _, c := range []struct {
		name    string
		away    time.Duration
		server  string
		trusted bool
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
			if d.valid() != c.trusted {
				t.Fatalf("lease %v, want %v", d.valid(), c.trusted)
			}
			d.pass(deskLease + Margin(deskLease))
			if d.beat(); !d.valid() {
				t.Error("no lease after all others have come over or lost theirs")
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
	if done, _ := d.f.Confirm(1).Hear(applied, d.now); !done {
		t.Fatal("not confirmed although all have applied it")
	}
	d.server = "s2"
	d.beat()
	c := d.f.Confirm(1)
	if done, _ := c.Hear(applied, d.now); done {
		t.Error("confirmed while others may still be with the server before")
	}
	d.pass(deskLease + Margin(deskLease))
	if done, _ := c.Hear(applied, d.now); !done {
		t.Error("still not confirmed")
	}
}

// diverge has the server lose the entries beyond keep.
func (d *desk) diverge(keep int) {
	d.log = d.log[:keep]
	d.server, d.terms = d.server+"'", append(d.terms, Term{uint32(len(d.terms)) + 1, uint64(keep)})
	q := d.f.Ask(d.now)
	if step := d.f.Hear(q, Answer{Status: Diverged, Server: d.server}, d.now); step != Compare {
		d.t.Fatalf("step %v", step)
	}
	var places []Place
	for i := len(d.log) - 1; i >= 0; i-- {
		places = append(places, Place{d.log[i].Seq, d.log[i].Nonce})
	}
	common, found := d.f.Common(places)
	d.f.Diverge(common, found, d.now)
}

// What a server has lost is written again for those who had not applied it; here it holds all the time, and copies from before
// stay.
func TestLostEntriesAreWrittenAgain(t *testing.T) {
	d := newDesk(t)
	before := d.ledger.Token()
	d.write(entryOf(1))
	d.write(entryOf(2))
	d.beat()
	after := d.ledger.Token()
	d.f.Events()
	d.diverge(1)
	if e := d.f.Events(); len(e) != 1 || !e[0].Lost || e[0].Nonce != 207 {
		t.Fatalf("events %+v", e)
	}
	if d.admits(before, simKeyID(2)) || !d.admits(after, simKeyID(2)) || !d.admits(before, simKeyID(3)) {
		t.Error("copies are not judged as before")
	}
	d.write(entryOf(9)) // another entry comes to stand in its place
	d.beat()
	if at, ok := d.f.Share(after); !ok || at.Seq != 1 {
		t.Errorf("a token from before the loss stands for %+v, %v; want the last entry in common", at, ok)
	}
	d.pass(time.Second) // of staggering
	due := d.f.Due(10, d.now)
	if len(due) != 1 || due[0].Repeats != 207 || due[0].IDs[0] != simKeyID(2) || due[0].Nonce != 0 {
		t.Fatalf("due: %+v", due)
	}
	if again := d.f.Due(10, d.now); len(again) != 0 {
		t.Errorf("due at once again: %+v", again)
	}
	d.pass(resendAfter)
	if again := d.f.Due(10, d.now); len(again) != 1 {
		t.Errorf("it did not come back, and is not written again: %+v", again)
	}
	d.write(due[0])
	d.beat()
	d.pass(resendAfter)
	if again := d.f.Due(10, d.now); len(again) != 0 {
		t.Errorf("it came back, and is written again: %+v", again)
	}
}

// No lease is taken while others may not have heard of what this instance has to tell.
func TestOwedEntriesGoBeforeTheLease(t *testing.T) {
	d := newDesk(t)
	d.pass(deskLease)
	d.f.ApplyHere(false, []ID{simKeyID(1)}, d.now)
	d.f.Queue(55, entryOf(1), d.now)
	if d.beat(); d.valid() {
		t.Fatal("a lease although a purge is queued")
	}
	due := d.f.Due(10, d.now)
	if len(due) != 1 {
		t.Fatalf("due: %+v", due)
	}
	d.write(due[0])
	if d.beat(); !d.valid() {
		t.Error("no lease although nothing is queued")
	}
}

// A fence that began in the part of the log that was lost still stands here; written again it is an invalidation, for it may
// have ended in the log meanwhile.
func TestLostFence(t *testing.T) {
	d := newDesk(t)
	d.write(entryOf(1))
	d.write(Record{Operation: BeginFence, IDs: []ID{simKeyID(2)}, Fence: 5, Life: time.Minute})
	d.beat()
	d.diverge(1)
	if d.admits(d.ledger.Token(), simKeyID(2)) {
		t.Error("the fence is gone")
	}
	d.pass(time.Second)
	if due := d.f.Due(10, d.now); len(due) != 1 || due[0].Operation != Invalidate {
		t.Fatalf("due: %+v", due)
	}
	d.write(Record{Operation: EndFence, IDs: []ID{simKeyID(2)}, Fence: 5})
	d.beat()
	if !d.admits(d.ledger.Token(), simKeyID(2)) {
		t.Error("the fence stands after its end")
	}
}

// A log that begins anew holds nothing of what was purged in the one before.
func TestAnotherHistory(t *testing.T) {
	other := NewHistory([16]byte{9})
	enter := func(d *desk) {
		d.log, d.server = nil, "s9"
		d.f.Hear(d.f.Ask(d.now), Answer{Status: OtherHistory, Server: d.server}, d.now)
		d.f.Load(Snapshot{History: other}, d.now)
		d.pass(time.Second)
		for _, r := range d.f.Due(100, d.now) {
			d.write(r)
		}
		d.beat()
	}
	for _, c := range []struct {
		name  string
		away  time.Duration
		peers []Peer // that come over
		kept  bool
	}{
		{"with the lease held", time.Second, nil, true},
		{"out of touch, and all come over", deskLease, []Peer{{Name: "other"}}, true},
		{"out of touch, and one does not", deskLease, nil, false},
		{"out of touch for longer than others remember", reissueWindow, []Peer{{Name: "other"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.live = append(d.live, Peer{Name: "other"})
			token := d.ledger.Token()
			d.write(entryOf(1))
			d.beat()
			d.pass(c.away)
			d.live = append([]Peer{{Name: "me"}}, c.peers...)
			enter(d)
			if c.away < reissueWindow && (len(d.log) != 1 || d.log[0].IDs[0] != simKeyID(1)) {
				t.Errorf("written into the new log: %+v", d.log)
			}
			d.pass(deskLease + Margin(deskLease))
			if d.beat(); !d.valid() {
				t.Fatal("no lease")
			}
			if d.admits(token, simKeyID(2)) != c.kept || d.admits(token, simKeyID(1)) {
				t.Errorf("copies kept: %v, want %v", d.admits(token, simKeyID(2)), c.kept)
			}
			if _, ok := d.f.Adopt(Shared{History: deskHistory.in(1)}); ok {
				t.Error("a position of the log before is taken")
			}
		})
	}
}

// A snapshot brings fences, marks of both sorts, and the floor below which nothing is known.
func TestSnapshotAfterGap(t *testing.T) {
	d := newDesk(t)
	d.write(entryOf(1))
	d.beat()
	token := d.ledger.Token()
	if step := d.f.Hear(d.f.Ask(d.now), Answer{Status: Gap, Server: d.server}, d.now); step != Fetch {
		t.Fatalf("step %v", step)
	}
	d.f.Load(Snapshot{
		History: deskHistory, Seq: 90, Nonce: 9007,
		Marks:  []Mark{{ID: simKeyID(3), Seq: 95}, {ID: simKeyID(1), Seq: 1}, {ID: simKeyID(2), Seq: 50}, {ID: simKeyID(4), Seq: 60, Soft: true}},
		Fences: []Record{{Operation: BeginFence, IDs: []ID{simKeyID(5)}, Fence: 5, Life: time.Minute}},
	}, d.now)
	for n, want := range map[int]bool{1: true, 2: false, 3: false, 4: false, 5: false, 6: true} {
		if got := d.admits(token, simKeyID(n)); got != want {
			t.Errorf("key %d: copies from before the gap valid: %v, want %v", n, got, want)
		}
	}
	now := d.ledger.Token()
	if at, ok := d.f.Share(now); !ok || at.Seq != 90 || at.Nonce != 9007 {
		t.Errorf("the position is %+v, %v", at, ok)
	}
	if !d.admits(now, simKeyID(2)) || d.admits(now, simKeyID(5)) {
		t.Error("what is fetched now is not judged by the marks and the fence")
	}
	d.f.Load(Snapshot{History: deskHistory, Seq: 200, Nonce: 1, Floor: 150}, d.now)
	if d.admits(now, simKeyID(6)) || !d.admits(d.ledger.Token(), simKeyID(6)) {
		t.Error("the floor of the snapshot has no effect")
	}
	if !d.admits(d.ledger.Token(), simKeyID(5)) {
		t.Error("a fence stands that the snapshot does not have")
	}
}

// Positions of a term count only up to where the next one began, also for those who have not seen it.
func TestTerms(t *testing.T) {
	d := newDesk(t)
	for n := range 20 {
		d.write(entryOf(n))
	}
	q := d.f.Ask(d.now)
	d.f.Hear(q, Answer{Server: d.server, Terms: []Term{{1, 0}, {2, 5}, {3, 12}}, Seq: 20, Records: d.log, Live: d.live}, d.now)
	place := func(term uint32, seq uint64) Shared {
		return Shared{History: deskHistory.in(term), Seq: seq, Nonce: d.log[max(seq, 1)-1].Nonce}
	}
	for _, c := range []struct {
		at Shared
		ok bool
	}{
		{place(3, 20), true}, {place(2, 12), true}, {place(2, 13), false}, {place(1, 5), true}, {place(1, 6), false},
		{place(1, 12), false}, {place(0, 1), false}, {place(9, 1), false}, {place(4, 1), false},
		{Shared{History: deskHistory.in(3), Seq: 20, Nonce: 1}, false}, {Shared{History: deskHistory.in(3), Seq: 21}, false},
	} {
		if _, ok := d.f.Adopt(c.at); ok != c.ok {
			t.Errorf("%+v: taken %v, want %v", c.at, ok, c.ok)
		}
	}
}

// A record of a later version invalidates everything, and so does a member of a kind that no copy here can have.
func TestRecordsOfOthers(t *testing.T) {
	good := Record{Operation: EndFence, IDs: []ID{simKeyID(1)}, Fence: 7, Life: time.Second, Settle: time.Minute, Notice: Notice{Subject: "s", Body: []byte("b")}, Repeats: 3}
	data := good.Append(nil)
	strange := Record{IDs: []ID{ID(uint64(lastKind+1) << (64 - kindBits))}}
	for name, b := range map[string][]byte{
		"empty": nil, "cut": data[:len(data)-1], "longer": append(data[:len(data):len(data)], 0), "later version": append([]byte{recordVersion + 1}, data[1:]...),
		"later operation": append([]byte{recordVersion, byte(lastOperation) + 1}, data[2:]...), "later member": strange.Append(nil),
	} {
		r, err := ParseRecord(4, 5, b)
		if !errors.Is(err, errRecord) || r.Operation != Invalidate || len(r.IDs) != 1 || r.IDs[0] != IDOf(policy.All) || r.Seq != 4 || r.Nonce != 5 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
