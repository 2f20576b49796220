package valkey

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"

	"golang.org/x/sync/errgroup"
)

const (
	// maxLog is how many entries the server keeps. An instance that has missed more entries reads a snapshot.
	maxLog = 1 << 16
	// maxMarks is how many members the server tells apart, of each sort of mark.
	maxMarks = 1 << 20
)

// Log is the log of invalidations that all instances on a server share. A Log works only while Run runs, and is safe
// for concurrent use. New sets all fields, and they never change. The parts that they point to change, and say how
// they are guarded.
//
// Run owns three goroutines. The syncer follows the log, the writer appends entries, and the hinter hears the entries
// that others append. The hinter owns one further goroutine, which waits for the end of a connection (mute).
// Goroutines that call the methods of invalidation.Log pass an entry to the writer, and wait until the syncer or the
// hinter has brought the entry back from the log.
type Log struct {
	options       Options
	lease         *invalidation.Lease
	follower      *fleet.Follower
	confirmations *confirmations
	writer        *writer
	syncer        *syncer
	hinter        *hinter
}

var (
	_ invalidation.Log = (*Log)(nil)
	_ fleet.Positions  = (*Log)(nil)
)

// New makes the log of an instance. New dials nothing.
func New(o Options) *Log {
	l := &Log{options: o, lease: invalidation.NewLease(time.Now())}
	keys := keysOf(o.Prefix, o.Connection.server.Database)
	heartbeat, replyTimeout := o.Lease/6, o.Lease/3
	l.follower = fleet.NewFollower(o.Ledger, l.lease, o.Lease, o.Instance, maphash.Comparable(maphash.MakeSeed(), o.Instance))
	l.confirmations = &confirmations{byNonce: map[uint64]*waiter{}}
	l.syncer = &syncer{
		options: o, keys: keys, heartbeat: heartbeat,
		replyTimeout: replyTimeout, follower: l.follower, confirmations: l.confirmations, kick: make(chan struct{}, 1), recount: make(chan struct{}, 1), applied: newBroadcast(),
	}
	l.writer = &writer{
		options: o, keys: keys, replyTimeout: replyTimeout, follower: l.follower, wake: l.syncer.wake, suspect: &l.syncer.suspect, queue: make(chan *attempt, maxBatch),
	}
	l.syncer.writer = l.writer
	l.hinter = &hinter{
		connection: o.Connection, keys: keys, instance: o.Instance, signer: o.Signer, heartbeat: heartbeat, follower: l.follower,
		syncer: l.syncer, confirmations: l.confirmations,
	}
	l.syncer.hinter, l.writer.hinter = l.hinter, l.hinter
	return l
}

// Run follows the log until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.syncer.run(ctx) })
	group.Go(func() error { return l.hinter.run(ctx) })
	group.Go(func() error { return l.writer.run(ctx) })
	return group.Wait()
}

// Leave takes this instance out of the fleet, so that no purge waits for the instance. Leave writes the owed entries
// first, and then takes the instance off the server's list. The caller has made sure that no request uses a copy any
// more: purges are confirmed without this instance afterwards. Run must still run.
func (l *Log) Leave(ctx context.Context) error {
	for l.follower.Owes() {
		if l.Alive() {
			l.writer.writeDue(ctx)
		}
		l.syncer.wake()
		select {
		case <-l.syncer.applied.wait():
		case <-time.After(l.syncer.heartbeat):
		case <-ctx.Done():
			return fmt.Errorf("write what is owed before leaving: %w", ctx.Err())
		}
	}
	// Entries that nobody waits for are flushed too. Among them are ends of fences: unwritten, a fence would keep the
	// other instances from copies until the fence expires.
	if err := l.writer.flush(ctx); err != nil {
		l.options.Log.Warn("not all entries written before leaving; fences among them expire by themselves", "error", err)
	}
	return l.syncer.leave(ctx)
}

// Lease returns the lease of this instance.
func (l *Log) Lease() *invalidation.Lease { return l.lease }

// Withhold keeps this instance from using copies until Release.
func (l *Log) Withhold() { l.follower.Withhold(time.Now()) }

// Release ends what Withhold began.
func (l *Log) Release() {
	l.follower.Release()
	l.syncer.wake()
}

// AllTell reports whether every live instance tells which copies it may have, before it has any.
func (l *Log) AllTell() bool { return l.follower.AllTell() }

// Alive reports whether the last heartbeat was answered, at the cost of one atomic load.
func (l *Log) Alive() bool { return l.syncer.contact.alive.Load() }

// Problem returns why the last heartbeat was not answered; nil: the heartbeat was answered, or there was none.
func (l *Log) Problem() error { return l.syncer.contact.problem() }

// LeaseTimeout returns the time after which no instance holds a lease without a sign of life, by the longest lease
// that this instance has heard of.
func (l *Log) LeaseTimeout() time.Duration { return l.follower.LeaseTimeout() }

// ToLog implements fleet.Positions.
func (l *Log) ToLog(t invalidation.Token) (fleet.LogPosition, bool) { return l.follower.ToLog(t) }

// FromLog implements fleet.Positions.
func (l *Log) FromLog(at fleet.LogPosition) (invalidation.Token, bool) {
	return l.follower.FromLog(at)
}

// Instances returns how many instances were live by the last heartbeat that was answered; zero: no heartbeat was
// answered.
func (l *Log) Instances() int { return len(l.follower.View().Peers) }

// State returns a snapshot for operators.
func (l *Log) State() State {
	v, now := l.follower.View(), time.Now()
	s := State{
		Connected: l.Alive(), Position: v.Applied, Behind: v.Behind, Contact: -1, Lag: -1, Floor: v.Floor,
		Members: l.options.Ledger.Marks(), Pending: v.Pending,
	}
	if v.History != (fleet.History{}) {
		s.History = historyText(v.History)
	}
	if at := l.syncer.contact.last(); !at.IsZero() {
		s.Contact = now.Sub(at)
	}
	if !v.Complete.IsZero() {
		s.Lag = now.Sub(v.Complete)
	}
	for _, p := range v.Peers {
		s.Instances = append(s.Instances, p.Name)
	}
	return s
}
