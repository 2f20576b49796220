package fleet

import (
	"slices"
	"testing"
	"time"

	"cacheproxy/invalidation"
)

// diverge has the server lose the entries beyond keep.
func (d *desk) diverge(keep int) {
	d.log = d.log[:keep]
	d.server, d.terms = d.server+"'", append(d.terms, Term{uint32(len(d.terms)) + 1, uint64(keep)})
	q := d.f.Request(d.now)
	if step := d.f.Receive(q, SyncReply{Status: Diverged, Server: d.server}, d.now); step != CompareLogs {
		d.t.Fatalf("step %v", step)
	}
	var places []Place
	for i := len(d.log) - 1; i >= 0; i-- {
		places = append(places, Place{d.log[i].Seq, d.log[i].Nonce})
	}
	common, found := d.f.LastCommon(places)
	d.f.Rewind(common, found, d.now)
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
	if at, ok := d.f.ToLog(after); !ok || at.Seq != 1 {
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
	d.f.ApplyLocally(invalidation.Entry{IDs: []invalidation.ID{simKeyID(1)}}, d.now)
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
	d.write(invalidation.Record{Operation: invalidation.BeginFence, IDs: []invalidation.ID{simKeyID(2)}, Fence: 5, Life: time.Minute})
	d.beat()
	d.diverge(1)
	if d.admits(d.ledger.Token(), simKeyID(2)) {
		t.Error("the fence is gone")
	}
	d.pass(time.Second)
	if due := d.f.Due(10, d.now); len(due) != 1 || due[0].Operation != invalidation.Invalidate {
		t.Fatalf("due: %+v", due)
	}
	d.write(invalidation.Record{Operation: invalidation.EndFence, IDs: []invalidation.ID{simKeyID(2)}, Fence: 5})
	d.beat()
	if !d.admits(d.ledger.Token(), simKeyID(2)) {
		t.Error("the fence stands after its end")
	}
}

// A log that nobody has begun who left the same one may be older than purges that were applied here (R10): everything is confirmed,
// and nothing of it is used before.
func TestOlderHistory(t *testing.T) {
	older := NewHistory([16]byte{9})
	for _, c := range []struct {
		name     string
		previous History
		want     int
	}{
		{"it was begun by who left the log of before", deskHistory, 0},
		{"by a newcomer", History{}, 1},
		{"by who left a third", NewHistory([16]byte{8}), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.pass(defaultLimits.reissue)
			d.log = nil
			d.f.Receive(d.f.Request(d.now), SyncReply{Status: OtherHistory}, d.now)
			d.f.InstallSnapshot(Snapshot{History: older, Previous: c.previous}, d.now)
			d.pass(time.Second)
			confirms := 0
			for _, r := range d.f.Due(10, d.now) {
				if r.Operation == invalidation.InvalidateConfirm && slices.Equal(r.IDs, []invalidation.ID{allID}) {
					confirms++
				}
			}
			if confirms != c.want {
				t.Errorf("%d entries ask for confirmation of everything, want %d", confirms, c.want)
			}
			if d.beat(); c.want > 0 && d.valid() {
				t.Error("a lease before everything is known to be confirmed")
			}
		})
	}
}

// A log that begins anew holds nothing of what was purged in the one before.
func TestAnotherHistory(t *testing.T) {
	other := NewHistory([16]byte{9})
	enter := func(d *desk) {
		d.log, d.server = nil, "s9"
		d.f.Receive(d.f.Request(d.now), SyncReply{Status: OtherHistory, Server: d.server}, d.now)
		d.f.InstallSnapshot(Snapshot{History: other, Previous: deskHistory}, d.now)
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
		{"out of touch for longer than others remember", defaultLimits.reissue, []Peer{{Name: "other"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.living = true
			d.live = append(d.live, Peer{Name: "other"})
			token := d.ledger.Token()
			var stamp invalidation.Stamp
			stamp.Set(token)
			d.write(entryOf(1))
			d.beat()
			d.pass(c.away)
			d.live = append([]Peer{{Name: "me"}}, c.peers...)
			enter(d)
			d.beat()
			if c.away < defaultLimits.reissue && (len(d.log) != 1 || d.log[0].IDs[0] != simKeyID(1)) {
				t.Errorf("written into the new log: %+v", d.log)
			}
			d.pass(deskLease + invalidation.Margin(deskLease))
			d.beat()
			for _, r := range d.f.Due(100, d.now.Add(time.Second)) {
				d.write(r) // an instance is missing, and everything is to be confirmed
			}
			if d.beat(); !d.valid() {
				t.Fatal("no lease")
			}
			if d.admits(token, simKeyID(2)) != c.kept || d.admits(token, simKeyID(1)) {
				t.Errorf("copies kept: %v, want %v", d.admits(token, simKeyID(2)), c.kept)
			}
			if v := d.ledger.Check(&stamp, []invalidation.ID{allID, simKeyID(2)}); v != map[bool]invalidation.Verdict{true: invalidation.Valid, false: invalidation.Purged}[c.kept] {
				t.Errorf("a copy of this instance is %v; kept: %v", v, c.kept)
			}
			if _, ok := d.f.FromLog(LogPosition{History: deskHistory.in(1)}); ok {
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
	if step := d.f.Receive(d.f.Request(d.now), SyncReply{Status: Gap, Server: d.server}, d.now); step != FetchSnapshot {
		t.Fatalf("step %v", step)
	}
	d.f.InstallSnapshot(Snapshot{
		History: deskHistory, Seq: 90, Nonce: 9007,
		Marks:  []Mark{{ID: simKeyID(3), Seq: 95}, {ID: simKeyID(1), Seq: 1}, {ID: simKeyID(2), Seq: 50}, {ID: simKeyID(4), Seq: 60, Soft: true}},
		Fences: []invalidation.Record{{Operation: invalidation.BeginFence, IDs: []invalidation.ID{simKeyID(5)}, Fence: 5, Life: time.Minute}},
	}, d.now)
	for n, want := range map[int]bool{1: true, 2: false, 3: false, 4: false, 5: false, 6: true} {
		if got := d.admits(token, simKeyID(n)); got != want {
			t.Errorf("key %d: copies from before the gap valid: %v, want %v", n, got, want)
		}
	}
	now := d.ledger.Token()
	if at, ok := d.f.ToLog(now); !ok || at.Seq != 90 || at.Nonce != 9007 {
		t.Errorf("the position is %+v, %v", at, ok)
	}
	if !d.admits(now, simKeyID(2)) || d.admits(now, simKeyID(5)) {
		t.Error("what is fetched now is not judged by the marks and the fence")
	}
	d.f.InstallSnapshot(Snapshot{History: deskHistory, Seq: 200, Nonce: 1, Floor: 150}, d.now)
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
	q := d.f.Request(d.now)
	d.f.Receive(q, SyncReply{Server: d.server, Terms: []Term{{1, 0}, {2, 5}, {3, 12}}, Seq: 20, Records: d.log, Live: d.live}, d.now)
	place := func(term uint32, seq uint64) LogPosition {
		return LogPosition{History: deskHistory.in(term), Seq: seq, Nonce: d.log[max(seq, 1)-1].Nonce}
	}
	for _, c := range []struct {
		at LogPosition
		ok bool
	}{
		{place(3, 20), true}, {place(2, 12), true}, {place(2, 13), false}, {place(1, 5), true}, {place(1, 6), false},
		{place(1, 12), false}, {place(0, 1), false}, {place(9, 1), false}, {place(4, 1), false},
		{LogPosition{History: deskHistory.in(3), Seq: 20, Nonce: 1}, false}, {LogPosition{History: deskHistory.in(3), Seq: 21}, false},
	} {
		if _, ok := d.f.FromLog(c.at); ok != c.ok {
			t.Errorf("%+v: taken %v, want %v", c.at, ok, c.ok)
		}
	}
}

// Notices are told again from a snapshot, with those that were taken back; a log that begins anew is told of them.
func TestNoticesAreKept(t *testing.T) {
	d := newDesk(t)
	note := func(subject, body string) invalidation.Record {
		return invalidation.Record{Operation: invalidation.Announce, Notice: invalidation.Notice{Subject: subject, Body: []byte(body)}}
	}
	d.write(note("a", "1"))
	d.write(note("b", "1"))
	d.write(note("c", "1"))
	d.write(note("c", ""))
	d.beat()
	d.f.Events()
	d.f.Receive(d.f.Request(d.now), SyncReply{Status: Gap, Server: d.server}, d.now)
	d.f.InstallSnapshot(Snapshot{History: deskHistory, Seq: 90, Nonce: 9, Notices: []invalidation.Notice{{Subject: "a", Body: []byte("2")}}, Unread: []string{"d"}}, d.now)
	told := map[string]string{}
	for _, e := range d.f.Events() {
		told[e.Notice.Subject] = string(e.Notice.Body)
	}
	if b, ok := told["b"]; len(told) != 3 || told["a"] != "2" || !ok || b != "" || told["d"] != Unreadable {
		t.Errorf("told of %q after a gap", told)
	}
	d.f.Receive(d.f.Request(d.now), SyncReply{Status: OtherHistory, Server: "s2"}, d.now)
	d.f.InstallSnapshot(Snapshot{History: NewHistory([16]byte{7}), Previous: deskHistory}, d.now)
	for _, e := range d.f.Events() {
		if e.Notice.Subject != "" {
			t.Errorf("a log that begins anew takes back what was announced: %+v", e)
		}
	}
	d.pass(time.Second)
	if due := d.f.Due(10, d.now); len(due) != 1 || due[0].Operation != invalidation.Announce || string(due[0].Notice.Body) != "2" {
		t.Errorf("written into the new log: %+v", due)
	}
}
