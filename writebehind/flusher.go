package writebehind

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Queue is where the writes are, as their owners see it. Its methods are safe for concurrent use.
type Queue interface {
	Lease() time.Duration
	Tend(context.Context) (owned []Ownership, before time.Time, err error)
	Release(context.Context, Ownership) error
	Leave(context.Context) error
	Watch(ctx context.Context, want func() map[int]string, read func([]News)) error
	Forget(ctx context.Context, o Ownership, entry string) error
	Begin(ctx context.Context, o Ownership, id string) (r Record, before State, err error)
	Settle(ctx context.Context, o Ownership, id string, state State, status int, problem string, blocks bool, wait time.Duration) error
}

// FlusherOptions is what a Flusher works with. All but AtOnce and Told are required.
type FlusherOptions struct {
	Queue  Queue
	Sealer *Sealer
	// Send makes a write. Right before it sends it asks holds, and does not where that says no. Confirm makes unusable what a write may have
	// changed that an owner before has made, and returns nil once that holds everywhere.
	Send    func(ctx context.Context, w *Write, sequence uint64, holds func() bool) Try
	Confirm func(ctx context.Context, w *Write) error
	Log     *slog.Logger
	AtOnce  int // writes under way; zero: 256
	// Told is called with what became of each try, and how long after its acceptance a write was done. Nil: nobody is.
	Told func(route string, state State, sinceAccepted time.Duration)
}

// Flusher makes the writes of the partitions that this instance owns. One goroutine, that of Run, has all of what is below; the others
// give it funcs to carry out.
type Flusher struct {
	FlusherOptions
	calls   chan func()
	parts   map[int]*partition
	asked   map[int]*partition // of which the read that is under way was asked for news
	busy    int
	ending  bool
	workers sync.WaitGroup
}

// partition is one that this instance owns, or has owned while tries of it are under way.
type partition struct {
	own    Ownership
	until  atomic.Pointer[time.Time] // the lease ends
	ctx    context.Context           // ends with it
	cancel context.CancelFunc
	cursor string // the last entry that was read
	lanes  *lanes
	busy   int
	giving bool // it goes to another as soon as nothing is under way
	lost   bool
}

// NewFlusher makes a flusher, which does nothing until Run.
func NewFlusher(o FlusherOptions) *Flusher {
	if o.AtOnce == 0 {
		o.AtOnce = 256
	}
	if o.Told == nil {
		o.Told = func(string, State, time.Duration) {}
	}
	return &Flusher{FlusherOptions: o, calls: make(chan func()), parts: map[int]*partition{}}
}

// parting is how long tries that are under way may take at the end.
const parting = 5 * time.Second

// Run flushes until ctx ends, waits for what is under way, and gives the partitions back.
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
	_ = f.Queue.Leave(ctx) // else it is forgotten when it has not been heard of
}

// do has the loop carry out a func, and waits for it. After ctx has ended it may not be carried out.
func (f *Flusher) do(ctx context.Context, call func()) {
	done := make(chan struct{})
	select {
	case f.calls <- func() { call(); close(done) }:
		<-done
	case <-ctx.Done():
	}
}

// loop carries out what it is given, and begins tries, until end.
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

// idle is how long the loop sleeps where it knows of nothing to come.
const idle = 50 * time.Millisecond

// dispatch begins what may begin, and says when to look again.
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

// release gives a partition back. Where the server does not hear of it, own does so once more.
func (f *Flusher) release(ctx context.Context, o Ownership) {
	f.workers.Go(func() { _ = f.Queue.Release(ctx, o) })
}

// settled takes in what came of a try.
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

// lose ends the ownership of a partition: nothing of it begins any more, and what is under way is cut off.
func (f *Flusher) lose(p *partition) {
	p.lost = true
	p.cancel()
	f.tidy(p)
}

// tidy forgets a partition that is lost and of which nothing is under way. Until then this instance does not take it anew: a try of the
// ownership before would go on beside one of the next.
func (f *Flusher) tidy(p *partition) {
	if p.lost && p.busy == 0 && f.parts[p.own.Partition] == p {
		delete(f.parts, p.own.Partition)
	}
}

// expire ends what has outlived its lease.
func (f *Flusher) expire(now time.Time) {
	for _, p := range f.parts {
		if !p.lost && !p.holdsAt(now) {
			f.Log.Warn("a partition of the queue of writes is lost, because its lease has ended", "partition", p.own.Partition)
			f.lose(p)
		}
	}
}

// holdsAt reports whether the lease holds, by the clock that stands still while the machine does, and by the one that does not.
func (p *partition) holdsAt(now time.Time) bool {
	until := *p.until.Load()
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

// tend keeps the leases until ctx ends.
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

// own takes in what this instance owns. Leases count from before they were asked for, and end a little earlier here than on the server:
// who takes over begins when this one has ended.
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
			// It was given back, and the server has not heard of it. To the server it is this instance's, which keeps its lease with those of
			// the others, and its writes would be nobody's.
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

// wanted names the partitions that are read, and after which entry.
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

// read takes in what is new, for the ownerships that it was asked for. A partition can be lost and taken anew while a read is under way: the
// new ownership begins at the first entry, and were its cursor put behind what was read for the one before, the entries up to there would be
// nobody's.
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
		f.workers.Go(func() { _ = f.Queue.Forget(ctx, p.own, n.Ref.Entry) }) // else the next owner reads it again
	}
}
