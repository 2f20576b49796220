package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/lockorder"
)

const (
	// resendAfter is the time that an entry has to come back in the log after it was written. Then the entry is
	// written again.
	resendAfter = time.Second
	// FenceLife is how long a fence stays open whose writer gives no sign of life. A writer renews its fence after a
	// third of FenceLife, for as long as its write is at the origin.
	FenceLife = time.Minute
	// firstBeat is where the heartbeats of this version begin to count. The others tell by the number that this
	// version has the server tell every appended entry to all listeners (R19).
	firstBeat = 1 << 49
	// tellsBeat is where the heartbeats of the version before begin to count. That version tells of the copies that
	// it may have before it has any (R18). The heartbeats of earlier versions count from 1.
	tellsBeat = 1 << 48
)

// limits bound what a follower remembers, and for how long. Only tests use other values than defaultLimits.
type limits struct {
	// ring is how many entries of the log are remembered at least. By them the follower tells whether the log of the
	// server is still the log that was applied.
	ring int
	// reissue is for how long after its application an entry is written again, should the whole log be lost.
	reissue   time.Duration
	fenceLife time.Duration
}

var defaultLimits = limits{ring: 1 << 15, reissue: time.Minute, fenceLife: FenceLife}

// Follower is one instance's part in the protocol. A Follower says what to ask the server, what a reply means, which
// entries to write, and until when the copies of the instance may be used. A Follower has no I/O, no clock, no
// randomness and no goroutine. A driver carries the requests and passes the time, so that the same code runs against
// a server and in a simulation.
//
// The driver sends one SyncRequest after another. All methods are safe for concurrent use. The driver's goroutines that
// follow the log call Request, Receive, Hear, InstallSnapshot and Rewind, one at a time. Meanwhile the goroutines that
// serve requests call ToLog, FromLog, ApplyLocally and Queue. No method calls back, and none waits for anything but the
// lock.
type Follower struct {
	ledger   *invalidation.Ledger // fed by the follower alone, under mu
	lease    *invalidation.Lease  // extended and revoked by the follower alone, under mu; others read without mu
	duration time.Duration        // of the lease
	name     string
	limits   limits

	// mu guards everything below. mu is never held across I/O: the follower does none. Holders of mu take the
	// ledger's locks.
	mu        lockorder.RWMutex[lockorder.Follower]
	beat      uint64 // of the latest request: a reply to an earlier one is ignored
	positions positions
	grace     grace
	detector  failureDetector
	fences    openFences
	pending   pendingEntries
	notices   map[string][]byte // the last notice on each subject, to be written into a new log
	events    []Event           // since the last call of Events
	complete  time.Time         // when the ledger was last known to hold the whole log; zero: never
	heldSince time.Time         // since when the lease has held without a break
	heldIn    History           // in which log and term
	behind    uint64            // entries that the log had beyond the ledger at the last reply
	// Seq below which the server had forgotten marks at the last reply
	floor    uint64
	logLease time.Duration // SyncReply.Longest of the last reply
	withheld bool          // no lease is taken until Release
}

// Event is an occurrence in the log, for goroutines that wait for an entry or listen to notices.
type Event struct {
	Nonce    uint64
	Seq      uint64
	Position uint64              // in the ledger
	Quiet    uint64              // Receipt.Quiet
	Notice   invalidation.Notice // of Announce
	// Lost says that an entry which had been applied is not in the log any more.
	Lost bool
}

// NewFollower makes a follower. Nothing else may feed the ledger or extend the lease. salt spreads in time the
// actions that several instances would take at once, and should differ between instances.
func NewFollower(l *invalidation.Ledger, lease *invalidation.Lease, duration time.Duration, name string, salt uint64) *Follower {
	return &Follower{
		ledger: l, lease: lease, duration: duration, name: name, limits: defaultLimits,
		grace:     grace{name: name, lease: lease, own: duration, longest: duration},
		detector:  failureDetector{name: name, pause: duration / 2},
		fences:    openFences{ledger: l, byNumber: map[uint64]*openFence{}},
		pending:   pendingEntries{salt: salt, byKey: map[uint64]*pendingEntry{}},
		notices:   map[string][]byte{},
		positions: positions{keep: defaultLimits.ring}, beat: firstBeat,
	}
}

// Withhold keeps this instance from holding a lease until Release, and revokes the lease that the instance holds. The
// others do not know yet which copies this instance may have (R18).
func (f *Follower) Withhold(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.withheld = true
	f.lease.Revoke(now)
}

// Release ends what Withhold began. The next reply that brings everything extends the lease.
func (f *Follower) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.withheld = false
}

// AllTell reports whether every instance on the list of the last reply is of a version that tells of its copies
// (R18).
func (f *Follower) AllTell() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.detector.allCountFrom(tellsBeat)
}

// Request returns the next SyncRequest. From then on Receive ignores the reply to any earlier request.
func (f *Follower) Request(now time.Time) SyncRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beat++
	p := &f.positions
	return SyncRequest{
		History: p.history, Term: p.term(), Beat: f.beat, Applied: p.applied, Nonce: p.nonce, Retention: f.ledger.Retention(),
		Owes: f.pending.owes(), Lease: f.duration, Held: f.held(now), Edition: f.grace.edition,
		Longest: f.grace.longestHeard(now), Sent: now,
	}
}

// held returns for how long the lease has held in the present term, and with the present edition of the list.
// Instances that started since infer from held that no instance holds a lease which is not on the list (R16). The
// caller holds mu.
func (f *Follower) held(now time.Time) time.Duration {
	if !f.lease.Valid(now) || f.heldIn != f.positions.history.in(f.positions.term()) {
		return 0
	}
	return min(now.Sub(f.heldSince), now.Sub(f.grace.edited))
}

// Receive takes in the reply to a request, and returns what the driver does next. The order of the steps is rule R7:
// the entries are in the ledger before the lease is extended. Were the lease extended first, a request between the
// two steps would find the lease held and a ledger without the entries. Such a request could use a copy that a purge
// has named, although the purge was confirmed because this instance's lease had lapsed.
func (f *Follower) Receive(q SyncRequest, r SyncReply, now time.Time) Step {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.Beat != f.beat {
		return Idle // the reply to an earlier request says nothing of the present
	}
	f.grace.observeServer(r, now)
	switch r.Status {
	case NoHistory:
		return CreateLog
	case OtherHistory, Gap:
		return FetchSnapshot
	case Diverged:
		return CompareLogs
	}
	f.grace.observeList(r, now)
	if len(r.Terms) > 0 {
		f.positions.terms = r.Terms
	}
	for _, record := range r.Records {
		if record.Seq != f.positions.applied+1 {
			return FetchSnapshot
		}
		f.apply(record, now)
	}
	f.floor, f.logLease, f.behind = r.Floor, r.Longest, r.Seq-f.positions.applied
	f.detector.recall(r.Live)
	f.grace.heed(r, now)
	f.detector.observe(r.Live, now)
	if f.behind > 0 {
		return SyncAgain
	}
	f.complete = q.Sent
	if r.Server != "" {
		f.extendLease(q.Sent, r.Live, now)
	}
	if len(r.Records) > 0 {
		return SyncAgain
	}
	return Idle
}

// extendLease lets copies be used for another lease. The lease counts from when the request was sent whose reply
// completed the ledger (R7). The others count from when they see this instance's heartbeat change, which is after the
// request was sent. So they never give up an instance that holds a lease. Counted from the arrival of a reply that
// was slow, or that waited for a frozen process to go on, the lease would end later than the others believe.
//
// A server that does not name itself extends no lease: its terms could not be told apart, and a copy whose entry a
// failover has lost would pass for a copy of the present log. The caller holds mu.
func (f *Follower) extendLease(sent time.Time, live []Peer, now time.Time) {
	term := f.positions.term()
	if over := f.grace.over(live, term, now); !over || f.pending.owes() {
		return
	}
	in := f.positions.history.in(term)
	if f.grace.end(live) {
		f.invalidateAll(now)
		// The others would take this instance's lease for a sign that the log is whole.
		f.confirmEverything(in, now)
		return
	}
	if f.withheld {
		return
	}
	if in != f.heldIn || !f.lease.Valid(now) {
		f.heldSince, f.heldIn = now, in
	}
	f.lease.Extend(sent.Add(f.duration - invalidation.Margin(f.duration)))
}

// Events returns the events since the last call, in the order of the log.
func (f *Follower) Events() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.events
	f.events = nil
	return events
}

// Applied returns the Seq of the last entry applied.
func (f *Follower) Applied() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.positions.applied
}

// Owes reports whether entries wait to be written that no other instance may know of.
func (f *Follower) Owes() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.pending.owes()
}

// View is the state of a follower as operators see it.
type View struct {
	History  History
	Applied  uint64
	Behind   uint64 // entries that the log had beyond the ledger at the last reply
	Floor    uint64 // of the log
	Complete time.Time
	Peers    []Peer
	Pending  int           // entries that wait to be written
	LogLease time.Duration // the longest lease that the log knows of
	Longest  time.Duration // the longest lease of the instances that are left
	// Epoch is the beginning of the present epoch. Hold compares epochs by it.
	Epoch time.Time
	// AllSpeak says that every instance on the list of the last reply is of a version whose entries the server tells
	// to all listeners as the entries are appended (R19). The entries of other versions come with heartbeats alone.
	AllSpeak bool
}

// View returns a snapshot for operators. Its slices must not be changed.
func (f *Follower) View() View {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return View{
		History: f.positions.history, Applied: f.positions.applied, Behind: f.behind, Floor: f.floor, Complete: f.complete,
		Peers: f.detector.live, Pending: len(f.pending.byKey), LogLease: f.logLease, Longest: f.grace.longestLeft(f.logLease, f.detector.live, f.complete),
		Epoch: f.grace.epochStart, AllSpeak: f.detector.allCountFrom(firstBeat),
	}
}

// Suspected returns the instances whose lease must have lapsed (R14). The driver takes them off the server's list,
// unless their heartbeats have changed since. While they stay on the list, the next invalidation waits for them, and
// they keep their part of the keys of shared claims.
func (f *Follower) Suspected(now time.Time) []Peer {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.detector.suspected(now)
}

// ToLog implements Positions.
func (f *Follower) ToLog(t invalidation.Token) (LogPosition, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.positions.toLog(t)
}

// FromLog implements Positions. FromLog vouches for nothing while this instance owes an entry. A log may come back
// without a purge that was applied here, and then holds copies from before the purge at Seqs that are applied again,
// at later positions of the ledger than the purge. Once the purge is in the log again, the position of the purge is
// the later one.
func (f *Follower) FromLog(p LogPosition) (invalidation.Token, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.pending.owes() {
		return invalidation.Token{}, false
	}
	return f.positions.fromLog(p)
}

// LeaseTimeout returns the time after which no instance of the fleet holds a lease without a sign of life, by the
// longest lease that this instance has heard of.
func (f *Follower) LeaseTimeout() time.Duration {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.grace.leaseTimeout()
}

// Understood reports whether every live instance can read an entry with this operation as the entry is meant. A
// version that cannot takes the entry for one that invalidates everything.
func (f *Follower) Understood(op invalidation.Operation) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return op != invalidation.InvalidateConfirm || !slices.ContainsFunc(f.detector.live, func(p Peer) bool { return p.Lease == 0 })
}
