package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/lockorder"
)

const (
	// resendAfter is how long an entry that was written has to come back in the log before it is written again.
	resendAfter = time.Second
	// FenceLife is how long a fence stays open whose writer gives no sign of life. A writer renews its fence after a third of
	// that, for as long as its write is at the origin.
	FenceLife = time.Minute
	// firstBeat is where the heartbeats of this version begin to count. By that, other instances know that the entries which this one appends are
	// told to all instances at once (R19).
	firstBeat = 1 << 49
	// tellsBeat is where the heartbeats of the version before begin, which announces what copies it may have before it has any (R18). Versions
	// before that count from 1.
	tellsBeat = 1 << 48
)

// limits say what a follower remembers and for how long. Except in tests, they are defaultLimits.
type limits struct {
	// ring is how many entries of the log are remembered at least, to tell whether the log of the server is still the one that
	// was applied.
	ring int
	// reissue is for how long after its application an entry is written again, should the whole log be lost.
	reissue   time.Duration
	fenceLife time.Duration
}

var defaultLimits = limits{ring: 1 << 15, reissue: time.Minute, fenceLife: FenceLife}

// Follower is one instance's part in the protocol: it says what to ask the server, what a reply means, which entries to write,
// and until when the copies of the instance may be used. It has no I/O, no clock, no dice and no goroutine. A driver carries its
// requests and gives the time, so that the same code runs against a server and in a simulation.
//
// The driver sends one SyncRequest after another. All methods are safe for concurrent use: the goroutine that follows the log
// calls Request, Receive, InstallSnapshot and Rewind, while those that serve requests call ToLog, FromLog, ApplyLocally and
// Queue. No method calls back, and none waits for anything but the lock.
type Follower struct {
	ledger   *invalidation.Ledger // fed by the follower alone, under mu
	lease    *invalidation.Lease  // extended and revoked by the follower alone, under mu; read by everybody without
	duration time.Duration        // of the lease
	name     string
	limits   limits

	// mu guards everything below. It is never held across I/O: the follower does none. Under it the ledger's locks are taken.
	mu        lockorder.RWMutex[lockorder.Follower]
	beat      uint64 // of the latest request: a reply to an earlier one is ignored
	positions positions
	grace     grace
	detector  failureDetector
	fences    openFences
	pending   pendingEntries
	notices   map[string][]byte // the last on each subject, to be written into a new log
	events    []Event           // since the last call of Events
	complete  time.Time         // when the ledger was last known to hold the whole log; zero: never
	heldSince time.Time         // since when the lease has been held without a break
	heldIn    History           // the log and term in which it has
	behind    uint64            // entries that the log had beyond the ledger at the last reply
	floor     uint64            // of the log, at the last reply
	logLease  time.Duration     // SyncReply.Longest of the last reply
	withheld  bool              // no lease is taken until Release
}

// Event is something that the log has brought, for those who wait for an entry or listen to notices.
type Event struct {
	Nonce    uint64
	Seq      uint64
	Position uint64              // in the ledger
	Quiet    uint64              // Receipt.Quiet
	Notice   invalidation.Notice // of Announce
	// Lost says that an entry which had been applied is not in the log any more.
	Lost bool
}

// NewFollower makes a follower that feeds a ledger which nothing else feeds, and extends a lease which nothing else extends.
// salt spreads in time what several instances would do at once, and should differ between them.
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

// Withhold revokes this instance's lease, and keeps it from taking one until Release. It is used while other instances do not know yet of what this one
// may have copies (R18).
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

// AllTell reports whether every instance on the list at the last reply is of a version that tells of its copies (R18).
func (f *Follower) AllTell() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.detector.allCountFrom(tellsBeat)
}

// Request is the next SyncRequest. From now on the reply to any earlier one is ignored.
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

// held is for how long the lease has been held in the present term, and with the present edition of the list. Instances that have started since rely on
// it: by it, no instance that is not on the list holds a lease. The caller holds mu.
func (f *Follower) held(now time.Time) time.Duration {
	if !f.lease.Valid(now) || f.heldIn != f.positions.history.in(f.positions.term()) {
		return 0
	}
	return min(now.Sub(f.heldSince), now.Sub(f.grace.edited))
}

// Receive takes in the reply to a request, and says what to do next. The order of its steps is rule R7: the entries are in the
// ledger before the lease is extended. Extended first, a request between the two steps would find the lease held and a ledger
// without the entries, and would use a copy that a purge has named which was confirmed because this instance's lease had lapsed.
func (f *Follower) Receive(q SyncRequest, r SyncReply, now time.Time) Step {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.Beat != f.beat {
		return Idle // the reply to an earlier request says nothing of now
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

// extendLease lets copies be used for another lease, counted from when the request was sent whose reply completed the ledger
// (R7). The others count from when they see this instance's heartbeat change, which is after the request was sent, and so never
// give up an instance that holds a lease. Counted from the arrival of a reply that was slow, or that waited for a frozen process
// to go on, the lease would end later than the others believe.
//
// A server that does not name itself extends no lease: its terms could not be told apart, and a copy whose entry a failover has lost
// would pass for one of the present log.
func (f *Follower) extendLease(sent time.Time, live []Peer, now time.Time) {
	term := f.positions.term()
	if over := f.grace.over(live, term, now); !over || f.pending.owes() {
		return
	}
	in := f.positions.history.in(term)
	if f.grace.end(live) {
		f.invalidateAll(now)
		f.confirmEverything(in, now) // for the others, who would take this instance's lease for a sign that the log is whole
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

// Events are those since the last call, in the order of the log.
func (f *Follower) Events() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.events
	f.events = nil
	return events
}

// Applied is the Seq of the last entry applied.
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

// View is what operators see of a follower.
type View struct {
	History  History
	Applied  uint64
	Behind   uint64 // entries that the log had beyond the ledger at the last reply
	Floor    uint64 // of the log
	Complete time.Time
	Peers    []Peer
	Pending  int           // entries that wait to be written
	LogLease time.Duration // the longest lease that the log knows of
	Longest  time.Duration // the longest lease of the instances that are on the list
	// Epoch is when the present epoch began. It identifies the epoch for Hold.
	Epoch time.Time
	// AllSpeak says that every instance on the list at the last reply is of a version whose entries are told to all instances as they are appended
	// (R19). Entries of other versions come only with heartbeats.
	AllSpeak bool
}

// View is a snapshot for operators. Its slices must not be changed.
func (f *Follower) View() View {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return View{
		History: f.positions.history, Applied: f.positions.applied, Behind: f.behind, Floor: f.floor, Complete: f.complete,
		Peers: f.detector.live, Pending: len(f.pending.byKey), LogLease: f.logLease, Longest: f.grace.longestLeft(f.logLease, f.detector.live, f.complete),
		Epoch: f.grace.epochStart, AllSpeak: f.detector.allCountFrom(firstBeat),
	}
}

// Suspected are the instances whose lease must have lapsed (R14). The driver takes them off the server's list, unless their heartbeats
// have changed since: otherwise the next invalidation waits for them, and the keys of shared claims are shared with them.
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

// FromLog implements Positions. It vouches for nothing while this instance owes an entry: a log that came back without a purge that
// was applied here holds copies from before that purge at Seqs that are applied now, and so at later positions of the ledger than the
// purge. Once the purge is in the log again, its position is the later one.
func (f *Follower) FromLog(p LogPosition) (invalidation.Token, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.pending.owes() {
		return invalidation.Token{}, false
	}
	return f.positions.fromLog(p)
}

// LeaseTimeout is the time without a sign of life after which no instance of the fleet holds a lease, by the longest lease that this instance has heard
// of.
func (f *Follower) LeaseTimeout() time.Duration {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.grace.leaseTimeout()
}

// Understood reports whether every live instance can read an entry with this operation as it is meant. A version that cannot
// takes it for one that invalidates everything.
func (f *Follower) Understood(op invalidation.Operation) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return op != invalidation.InvalidateConfirm || !slices.ContainsFunc(f.detector.live, func(p Peer) bool { return p.Lease == 0 })
}
