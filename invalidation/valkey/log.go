package valkey

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"

	"golang.org/x/sync/errgroup"
)

const (
	// maxLog is how many entries the server keeps. Who has missed more reads a snapshot.
	maxLog = 1 << 16
	// maxMarks is how many members the server tells apart, of each sort.
	maxMarks = 1 << 20
)

// Log is the log of invalidations that all instances on a server share. Run must run for it to work. It is safe for
// concurrent use.
type Log struct {
	options   Options
	keys      keys
	alone     bool          // there is one server, without another that could take its place
	heartbeat time.Duration // pause between heartbeats
	patience  time.Duration // for one answer of the server
	follower  *fleet.Follower
	lease     *invalidation.Lease

	kick    chan struct{} // has room for one
	appends chan *attempt
	applied broadcast

	beating sync.Mutex // held during a heartbeat, so that none is under way once this instance has left
	left    bool       // guarded by beating
	tidied  time.Time  // guarded by beating
	contact contact

	confirmations confirmations
}

var (
	_ invalidation.Log = (*Log)(nil)
	_ fleet.Chart      = (*Log)(nil)
)

// New makes the log of an instance. It dials nothing.
func New(o Options) *Log {
	l := &Log{
		options: o, keys: keysOf(o.Prefix), heartbeat: o.Lease / 6, patience: o.Lease / 3, lease: invalidation.NewLease(time.Now()),
		kick: make(chan struct{}, 1), appends: make(chan *attempt, maxBatch), applied: newBroadcast(),
	}
	server := o.Connection.server
	l.alone = server.Sentinel == nil && len(server.Addresses) == 1
	l.follower = fleet.NewFollower(o.Ledger, l.lease, o.Lease, o.Instance, maphash.Comparable(maphash.MakeSeed(), o.Instance))
	l.confirmations.byNonce = map[uint64]*waiter{}
	return l
}

// Run follows the log until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.follow(ctx) })
	group.Go(func() error { return l.hints(ctx) })
	group.Go(func() error { return l.write(ctx) })
	return group.Wait()
}

// Leave takes this instance out of the fleet, so that nobody waits for it: what it owes is written, then it is taken off the
// list. It must use no copies afterwards. Run still has to run.
func (l *Log) Leave(ctx context.Context) error {
	for l.follower.Owes() {
		l.writeDue(ctx)
		l.wake()
		select {
		case <-l.applied.wait():
		case <-time.After(l.heartbeat):
		case <-ctx.Done():
			return fmt.Errorf("write what is owed before leaving: %w", ctx.Err())
		}
	}
	l.beating.Lock()
	defer l.beating.Unlock()
	l.left = true
	client, err := l.options.Connection.Client()
	if err != nil {
		return err
	}
	if err := client.Do(ctx, client.B().Hdel().Key(l.keys.live).Field(l.options.Instance).Build()).Error(); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	return nil
}

// Lease is this instance's.
func (l *Log) Lease() *invalidation.Lease { return l.lease }

// Alive reports whether the last heartbeat was answered. It costs one atomic load.
func (l *Log) Alive() bool { return l.contact.alive.Load() }

// Share implements invalidation.Chart.
func (l *Log) Share(t invalidation.Token) (fleet.Shared, bool) { return l.follower.Share(t) }

// Adopt implements invalidation.Chart.
func (l *Log) Adopt(s fleet.Shared) (invalidation.Token, bool) { return l.follower.Adopt(s) }

func (l *Log) observe(op string, since time.Time, err error) {
	if l.options.Observe != nil {
		l.options.Observe(op, time.Since(since), err)
	}
}

func (l *Log) historyNow() string { return historyText(l.follower.View().History) }

// Instances is how many instances were live by the last heartbeat that was answered; zero: there was none.
func (l *Log) Instances() int { return len(l.follower.View().Peers) }

// State is a snapshot for operators.
func (l *Log) State() State {
	v, now := l.follower.View(), time.Now()
	s := State{
		Connected: l.Alive(), Position: v.Applied, Behind: v.Behind, Contact: -1, Lag: -1, Lease: l.lease.Valid(now), Floor: v.Floor,
		Members: l.options.Ledger.Marks(), Pending: v.Pending,
	}
	if v.History != (fleet.History{}) {
		s.History = historyText(v.History)
	}
	if at := l.contact.last(); !at.IsZero() {
		s.Contact = now.Sub(at)
	}
	if !v.Current.IsZero() {
		s.Lag = now.Sub(v.Current)
	}
	for _, p := range v.Peers {
		s.Instances = append(s.Instances, p.Name)
	}
	return s
}
