package writebehind

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Queue holds the writes, as their owners see them. The methods are safe for concurrent use.
type Queue interface {
	Lease() time.Duration
	Tend(context.Context) (owned []Ownership, before time.Time, err error)
	Release(context.Context, Ownership) error
	Leave(context.Context) error
	Watch(ctx context.Context, want func() map[int]string, read func([]News)) error
	Forget(ctx context.Context, o Ownership, entry string) error
	Begin(ctx context.Context, o Ownership, id string) (r Record, before State, err error)
	Settle(ctx context.Context, o Ownership, id string, of Outcome) error
}

// FlusherOptions are the dependencies of a Flusher. All are required except AtOnce and Told.
type FlusherOptions struct {
	Queue  Queue
	Sealer *Sealer
	// Send sends a write. Right before sending, Send calls holds, and does not send if holds reports false. Confirm
	// makes unusable what a write may have changed that an earlier owner has sent, and returns nil once that holds
	// everywhere.
	Send    func(ctx context.Context, w *Write, sequence uint64, holds func() bool) Try
	Confirm func(ctx context.Context, w *Write) error
	Log     *slog.Logger
	AtOnce  int // bound for the writes under way; zero: 256
	// Told, if not nil, is called with the state after each try, and the time since the write was accepted.
	Told func(route string, state State, sinceAccepted time.Duration)
}

// Flusher sends the writes of the partitions that this instance owns. Only the goroutine of Run uses parts, asked, busy
// and ending. Other goroutines send functions over calls, which the goroutine of Run executes.
type Flusher struct {
	FlusherOptions
	calls   chan func()
	parts   map[int]*partition
	asked   map[int]*partition // the partitions for which the present read of Watch was asked
	busy    int
	ending  bool
	workers sync.WaitGroup
}

// partition is a partition that this instance owns, or has owned while its tries are under way.
type partition struct {
	own    Ownership
	until  atomic.Pointer[time.Time] // the end of the lease
	ctx    context.Context           // ends with the ownership
	cancel context.CancelFunc
	cursor string // the last entry that was read
	lanes  *lanes
	busy   int
	giving bool // this instance gives the partition back as soon as nothing is under way
	lost   bool
}

// NewFlusher makes a flusher. It does nothing until Run.
func NewFlusher(o FlusherOptions) *Flusher {
	if o.AtOnce == 0 {
		o.AtOnce = 256
	}
	if o.Told == nil {
		o.Told = func(string, State, time.Duration) {}
	}
	return &Flusher{FlusherOptions: o, calls: make(chan func()), parts: map[int]*partition{}}
}

// parting bounds the time for tries that are under way when Run ends.
const parting = 5 * time.Second

// Run flushes until ctx ends. Then Run waits for the tries under way, and gives the partitions back.
func (f *Flusher) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var helpers sync.WaitGroup
	helpers.Go(func() {
		_ = f.Queue.Watch(background, func() (want map[int]string) {
			f.do(background, func() { want = f.wanted() })
			return want
		}, func(news []News) { f.do(background, func() { f.read(background, news) }) })
	})
	helpers.Go(func() { f.tend(background) })
	f.loop(ctx.Done())
	f.ending = true
	limit := time.NewTimer(parting)
	defer limit.Stop()
	over := false
	for f.busy > 0 && !over {
		select {
		case call := <-f.calls:
			call()
		case <-limit.C:
			over = true
		}
	}
	stop()
	for _, p := range f.parts {
		p.cancel()
	}
	for f.busy > 0 {
		(<-f.calls)()
	}
	f.workers.Wait()
	helpers.Wait()
	f.leave(context.WithoutCancel(ctx))
	return nil
}

func (f *Flusher) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, parting)
	defer cancel()
	for _, p := range f.parts {
		if err := f.Queue.Release(ctx, p.own); err != nil {
			f.Log.Info("a partition of the queue was not given back, and is taken over when its lease ends", "partition", p.own.Partition, "error", err)
			break
		}
	}
	_ = f.Queue.Leave(ctx) // without it, the server forgets this instance after two leases of silence
}

// do has the loop execute call, and waits for the end of call. After ctx has ended, call may be left out.
func (f *Flusher) do(ctx context.Context, call func()) {
	done := make(chan struct{})
	select {
	case f.calls <- func() { call(); close(done) }:
		<-done
	case <-ctx.Done():
	}
}

// loop executes functions from calls, and begins tries, until end.
func (f *Flusher) loop(end <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case call := <-f.calls:
			call()
		case <-timer.C:
		case <-end:
			return
		}
		now := time.Now()
		f.expire(now)
		wake := f.dispatch(now)
		timer.Reset(max(wake.Sub(now), time.Millisecond))
	}
}

// idle is how long the loop sleeps without a known time to wake.
const idle = 50 * time.Millisecond

// dispatch begins the writes that may begin, and returns the time to look again.
func (f *Flusher) dispatch(now time.Time) (wake time.Time) {
	wake = now.Add(idle)
	for _, p := range f.parts {
		for !p.lost && !p.giving && f.busy < f.AtOnce {
			r, ok, at := p.lanes.next(now)
			if !ok {
				if !at.IsZero() && at.Before(wake) {
					wake = at
				}
				break
			}
			p.busy++
			f.busy++
			f.workers.Go(func() {
				s := f.attempt(p, r)
				f.calls <- func() { f.settled(p, r, s) }
			})
		}
		if p.giving && p.busy == 0 && !p.lost {
			f.lose(p)
			f.release(context.WithoutCancel(p.ctx), p.own)
		}
	}
	return wake
}

// release gives a partition back. If the server does not hear of the release, own repeats it.
func (f *Flusher) release(ctx context.Context, o Ownership) {
	f.workers.Go(func() { _ = f.Queue.Release(ctx, o) })
}

// settled handles the outcome of a try.
func (f *Flusher) settled(p *partition, r Ref, s step) {
	p.busy--
	f.busy--
	switch s.is {
	case stepDone:
		p.lanes.done(r)
	case stepAgain:
		p.lanes.again(r, s.at)
	case stepBlock:
		p.lanes.block(r)
	case stepLost:
		f.lose(p)
	}
	f.tidy(p)
}

// lose ends the ownership of a partition: no try of the partition begins, and tries under way are cut off.
func (f *Flusher) lose(p *partition) {
	p.lost = true
	p.cancel()
	f.tidy(p)
}

// tidy removes a partition that is lost and has no try under way. Until then this instance does not take the partition
// again: a try of the earlier ownership would run beside a try of the next.
func (f *Flusher) tidy(p *partition) {
	if p.lost && p.busy == 0 && f.parts[p.own.Partition] == p {
		delete(f.parts, p.own.Partition)
	}
}

// expire loses the partitions whose leases have ended.
func (f *Flusher) expire(now time.Time) {
	for _, p := range f.parts {
		if !p.lost && !p.holdsAt(now) {
			f.Log.Warn("a partition of the queue of writes is lost, because its lease has ended", "partition", p.own.Partition)
			f.lose(p)
		}
	}
}

// holdsAt reports whether the lease holds by both clocks: the monotonic clock, which stands still while the machine
// sleeps, and the wall clock, which does not.
func (p *partition) holdsAt(now time.Time) bool {
	until := *p.until.Load()
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

// tend renews the leases until ctx ends.
func (f *Flusher) tend(ctx context.Context) {
	every := f.Queue.Lease() / 4
	for ctx.Err() == nil {
		owned, before, err := f.Queue.Tend(ctx)
		if err == nil {
			f.do(ctx, func() { f.own(owned, before) })
		}
		select {
		case <-time.After(every - time.Duration(rand.Int64N(int64(every/4)))):
		case <-ctx.Done():
		}
	}
}

// own takes over the list of owned partitions. A lease counts from the time before the request for it, and ends a
// little earlier here than on the server. So this owner has ended before the next begins.
func (f *Flusher) own(owned []Ownership, before time.Time) {
	until := before.Add(f.Queue.Lease() * 9 / 10)
	named := map[int]bool{}
	for _, o := range owned {
		named[o.Partition] = true
		p := f.parts[o.Partition]
		switch {
		case p == nil && !o.Surplus && !f.ending:
			p = &partition{own: o, cursor: "0", lanes: newLanes()}
			p.ctx, p.cancel = context.WithCancel(context.Background())
			p.until.Store(&until)
			f.parts[o.Partition] = p
		case p == nil && !f.ending:
			// This instance has given the partition back, and the server has not heard of it. For the server, this
			// instance still owns the partition and renews its lease, so no instance would flush the writes.
			f.release(context.Background(), o)
		case p == nil || p.lost:
		case p.own.Token != o.Token:
			f.lose(p)
		default:
			p.until.Store(&until)
			p.giving = o.Surplus
		}
	}
	for number, p := range f.parts {
		if !named[number] && !p.lost {
			f.lose(p)
		}
	}
}

// wanted returns the partitions to read, each with the entry after which to read.
func (f *Flusher) wanted() map[int]string {
	want := map[int]string{}
	f.asked = map[int]*partition{}
	for number, p := range f.parts {
		if !p.lost && !p.giving {
			want[number], f.asked[number] = p.cursor, p
		}
	}
	return want
}

// read takes in new entries, for the ownerships that the read was asked for. While a read is under way, a partition can
// be lost and taken again. The new ownership begins at the first entry. If read moved the new cursor behind the entries
// of the earlier ownership, no owner would see the entries up to there.
func (f *Flusher) read(ctx context.Context, news []News) {
	for _, n := range news {
		p := f.asked[n.Partition]
		if p == nil || p.lost {
			continue
		}
		p.cursor = n.Ref.Entry
		if n.Decision == "" {
			p.lanes.add(n.Ref)
			continue
		}
		p.lanes.decide(n.Ref, n.Decision == "retry")
		f.workers.Go(func() { _ = f.Queue.Forget(ctx, p.own, n.Ref.Entry) }) // else the next owner reads the entry again
	}
}
