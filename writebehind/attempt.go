package writebehind

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// step is what a try has come to for its lane.
type step struct {
	is stepKind
	at time.Time // stepAgain: not before
}

type stepKind uint8

const (
	stepDone stepKind = iota
	stepAgain
	stepBlock
	stepLost
)

const (
	// askAgain is when the server is asked again that has not answered, unreadable when a write is looked at again that nobody here can open.
	askAgain   = 500 * time.Millisecond
	unreadable = 30 * time.Second
)

func again(after time.Duration) step { return step{stepAgain, time.Now().Add(after)} }

// holds reports whether a try may begin.
func (p *partition) holds() bool { return p.ctx.Err() == nil && p.holdsAt(time.Now()) }

// attempt tries one write: it notes that it does, sends it, and notes what came of it, before anybody else is told.
func (f *Flusher) attempt(p *partition, r Ref) step {
	record, before, err := f.Queue.Begin(p.ctx, p.own, r.ID)
	switch {
	case errors.Is(err, ErrNotOwner):
		return step{is: stepLost}
	case errors.Is(err, ErrUnknown):
		return f.forget(p, r)
	case err != nil:
		return again(askAgain)
	}
	switch {
	case before == Done || before == Dropped || before == Dead && !record.Blocks:
		return f.forget(p, r)
	case before == Dead:
		return step{is: stepBlock}
	case record.Next.After(record.Updated): // an owner before has made this pause
		return again(record.Next.Sub(record.Updated))
	}
	w, err := f.open(&record, r.Key)
	if err != nil {
		f.Log.Error("a write of the queue cannot be read, and its key waits", "write", r.ID, "error", err)
		return f.settle(p, r, nil, &record, verdict{State: Waiting, Wait: unreadable, Problem: err.Error()}, 0)
	}
	if before == flushed {
		return f.conclude(p, r, w, &record, nil)
	}
	if before == sending && !w.Repeatable() {
		return f.settle(p, r, w, &record, verdict{State: Dead, Blocks: true, Problem: "nobody knows whether it was done: its owner ended while it was at the origin"}, 0)
	}
	t := f.Send(p.ctx, w, record.Sequence, p.holds)
	v := judge(w, record.Attempts+1, record.Tried, time.Now(), t, rand.Float64())
	if v.Hold > 0 {
		// Until this is noted nobody begins a later write of the key, also no owner after this one: the origin would do the later one,
		// then end this one, and show what is older.
		wait(p.ctx, v.Hold)
	}
	switch {
	case v.State != flushed:
		return f.settle(p, r, w, &record, v, t.Status)
	case t.Confirmed:
		return f.settle(p, r, w, &record, verdict{State: Done}, t.Status)
	}
	// What it changed may still be served elsewhere. Whoever takes over is not to send it once more for that.
	if s := f.settle(p, r, w, &record, v, t.Status); s.is == stepLost {
		return s
	}
	return f.conclude(p, r, w, &record, t.Confirm)
}

func (f *Flusher) open(r *Record, key string) (*Write, error) {
	content, err := f.Sealer.Open(r.ID, key, r.Sealed)
	if err != nil {
		return nil, err
	}
	return Decode(content)
}

// conclude has what a write has changed be unusable everywhere before its state says that it is done.
func (f *Flusher) conclude(p *partition, r Ref, w *Write, record *Record, confirm func(context.Context) error) step {
	if confirm == nil {
		confirm = func(ctx context.Context) error { return f.Confirm(ctx, w) }
	}
	for p.holds() {
		if err := confirm(p.ctx); err == nil {
			return f.settle(p, r, w, record, verdict{State: Done}, record.Status) // 0 where an owner before was told
		}
		wait(p.ctx, askAgain)
	}
	return step{is: stepLost}
}

// settle notes what came of a try, until the server has it or the lease ends. Then the next owner finds out by itself.
func (f *Flusher) settle(p *partition, r Ref, w *Write, record *Record, v verdict, status int) step {
	for {
		err := f.Queue.Settle(p.ctx, p.own, r.ID, v.State, status, v.Problem, v.Blocks, v.Wait)
		switch {
		case err == nil:
			return f.told(r, w, record, v, status)
		case errors.Is(err, ErrUnknown):
			return step{is: stepDone}
		case errors.Is(err, ErrNotOwner), !p.holds():
			return step{is: stepLost}
		}
		wait(p.ctx, askAgain)
	}
}

// told tells of what was noted, and says what follows for the lane.
func (f *Flusher) told(r Ref, w *Write, record *Record, v verdict, status int) step {
	route := ""
	if w != nil { // else nobody here can read it
		route = w.Route
		f.Told(route, v.State, time.Since(record.Accepted))
	}
	switch v.State {
	case Dead:
		f.Log.Error("a write was accepted and is not done: somebody has to decide about it",
			slog.String("write", r.ID), slog.String("route", route), slog.Int("status", status), slog.String("problem", v.Problem), slog.Bool("blocks", v.Blocks))
		if v.Blocks {
			return step{is: stepBlock}
		}
		return step{is: stepDone}
	case Waiting:
		return again(v.Wait)
	case Done:
		f.Log.Debug("a write of the queue is done", "write", r.ID, "route", route, "sequence", record.Sequence, "status", status)
	}
	return step{is: stepDone}
}

// forget removes an entry whose write is decided.
func (f *Flusher) forget(p *partition, r Ref) step {
	if err := f.Queue.Forget(p.ctx, p.own, r.Entry); err != nil && !errors.Is(err, ErrNotOwner) {
		return again(askAgain)
	}
	return step{is: stepDone}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
