package fleet

import (
	"sync"
	"time"

	"cacheproxy/invalidation"
)

const (
	// ringSize is how many entries of the log a follower remembers, to tell whether the log it meets is the one it knows.
	ringSize = 1 << 15
	// reissueWindow is for how long an entry is remembered to be written again, should the log be lost altogether.
	reissueWindow = time.Minute
	// resendAfter is how long an entry that was written has to come back in the log before it is written again.
	resendAfter = time.Second
	// FenceLife is how long a fence stands whose writer gives no sign of life. A writer renews its fence while its write is at
	// the origin.
	FenceLife = time.Minute
)

// Follower is one instance's part in the protocol by which several share a log: what to ask the log, what an answer means,
// until when copies may be trusted. It does no I/O, has no clock, no dice and no goroutine: whoever drives it carries the
// questions and gives the time, so that the same code runs against a server and in a simulation.
//
// Questions are asked one after another: only the answer to the latest counts. Methods are safe for concurrent use; Share
// and Adopt do not wait for anything but each other's and Hear's work.
type Follower struct {
	ledger   *invalidation.Ledger
	lease    *invalidation.Lease
	duration time.Duration // of the lease
	margin   time.Duration
	name     string
	salt     uint64 // spreads what instances do at the same time

	mu       sync.RWMutex
	history  History // without its term; zero: none was met yet
	terms    []Term
	applied  uint64 // Seq of the last entry applied
	nonce    uint64 // of that
	position uint64 // of the ledger
	segments []segment
	ring     ring

	beat    uint64
	server  string              // as it last called itself
	since   time.Time           // since when it is known to be the one that all instances have to reach; zero: never met
	grace   time.Time           // until then no lease is taken: others may have something to say first
	waiting map[string]uint64   // after grace, whose word is waited for: their heartbeats as they were first seen
	missing []string            // instances that have to appear in a log that began anew
	current time.Time           // when the ledger was last known to be complete; zero: never
	behind  uint64              // entries that the log had beyond the ledger at the last answer
	floor   uint64              // of the log, at the last answer
	peers   []Peer              // live, at the last answer
	heard   time.Time           // when that came
	seen    map[string]sighting // of the others
	fences  map[uint64]*standing
	pending map[uint64]*pending // by Record.Repeats
	events  []Event
	notices map[string][]byte // the last on each subject
}

// Event is something that the log has brought.
type Event struct {
	Nonce    uint64
	Seq      uint64
	Position uint64
	Quiet    uint64              // Receipt.Quiet
	Notice   invalidation.Notice // of Announce
	// Lost says that an entry which had been applied is not in the log any more.
	Lost bool
}

// NewFollower makes a follower that feeds a ledger which nothing else feeds, and extends a lease. Salt should differ between
// instances.
func NewFollower(l *invalidation.Ledger, lease *invalidation.Lease, duration time.Duration, name string, salt uint64) *Follower {
	return &Follower{
		ledger: l, lease: lease, duration: duration, margin: invalidation.Margin(duration), name: name, salt: salt,
		fences: map[uint64]*standing{}, pending: map[uint64]*pending{}, notices: map[string][]byte{},
	}
}

// Ask is the next question.
func (f *Follower) Ask(now time.Time) Question {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beat++
	return Question{
		History: f.history, Term: f.term(), Beat: f.beat, Applied: f.applied, Nonce: f.nonce, Retention: f.ledger.Retention(),
		Owes: f.owes(), Sent: now,
	}
}

// Hear takes in the answer to a question.
func (f *Follower) Hear(q Question, a Answer, now time.Time) Step {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.Beat != f.beat {
		return Rest // an answer to an earlier question says nothing of now
	}
	f.meet(a, now)
	switch a.Status {
	case NoHistory:
		return Found
	case OtherHistory, Gap:
		return Fetch
	case Diverged:
		return Compare
	}
	if len(a.Terms) > 0 {
		f.terms = a.Terms
	}
	for _, r := range a.Records {
		if r.Seq != f.applied+1 {
			return Fetch
		}
		f.apply(r, now)
	}
	f.peers, f.floor, f.behind = a.Live, a.Floor, a.Seq-f.applied
	f.sight(now)
	if f.behind > 0 {
		return AskAgain
	}
	f.current = q.Sent
	f.extend(q.Sent, a.Live, now)
	if len(a.Records) > 0 {
		return AskAgain
	}
	return Rest
}

// apply takes the next entry of the log in.
func (f *Follower) apply(r invalidation.Record, now time.Time) {
	e := Event{Nonce: r.Nonce, Seq: r.Seq, Position: f.position + 1}
	entry := invalidation.Entry{Position: e.Position, Operation: r.Operation, IDs: r.IDs}
	switch r.Operation {
	case invalidation.BeginFence:
		if f.begin(r, e.Position, now) {
			entry.Operation = invalidation.Invalidate // it stands already
		}
	case invalidation.EndFence:
		var disturbed uint64
		entry, disturbed = f.end(r, entry)
		e.Quiet = e.Position - disturbed
	case invalidation.Announce:
		e.Notice, entry.IDs = r.Notice, nil
		f.note(r.Notice)
	default:
		e.Quiet = e.Position - f.ledger.Disturbed(r.IDs, 0)
	}
	f.ledger.Apply(entry, now)
	f.position, f.applied, f.nonce = e.Position, r.Seq, r.Nonce
	f.ring.push(r, now)
	f.followUp(r, now)
	f.events = append(f.events, e)
}

// note keeps the last notice on a subject.
func (f *Follower) note(n invalidation.Notice) {
	if len(n.Body) == 0 {
		delete(f.notices, n.Subject)
		return
	}
	f.notices[n.Subject] = n.Body
}

// Events are those since the last call, in the order of the log.
func (f *Follower) Events() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.events
	f.events = nil
	return events
}

// ApplyHere makes copies unusable on this instance, also where the log cannot be reached.
func (f *Follower) ApplyHere(soft bool, ids []invalidation.ID, now time.Time) (position uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applyHere(invalidation.Entry{Operation: invalidation.Order{Soft: soft}.Operation(), IDs: ids}, now)
	return f.position
}

// applyHere applies an entry that is not in the log. The positions of the log move up by one.
func (f *Follower) applyHere(e invalidation.Entry, now time.Time) {
	f.position++
	e.Position = f.position
	f.ledger.Apply(e, now)
	f.shift()
}

// Applied is the Seq of the last entry applied.
func (f *Follower) Applied() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.applied
}

// View is what operators see of a follower.
type View struct {
	History History
	Applied uint64
	Behind  uint64 // entries that the log had beyond it at the last answer
	Floor   uint64 // of the log
	Current time.Time
	Peers   []Peer
	Pending int // entries that wait to be written
}

// View is a snapshot for operators. Its slices must not be changed.
func (f *Follower) View() View {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return View{f.history, f.applied, f.behind, f.floor, f.current, f.peers, len(f.pending)}
}

// Owes reports whether entries wait to be written that others have not heard of.
func (f *Follower) Owes() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.owes()
}
