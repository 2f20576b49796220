package writebehind

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// step is what a try means for the lane of its write.
type step struct {
	is stepKind
	at time.Time // stepAgain: not before this time
}

type stepKind uint8

const (
	stepDone stepKind = iota
	stepAgain
	stepBlock
	stepLost
)

const (
	// askAgain is the pause before the server is asked again after a failure. unreadable is the pause before a write is
	// looked at again that no secret here opens.
	askAgain   = 500 * time.Millisecond
	unreadable = 30 * time.Second
)

func again(after time.Duration) step { return step{stepAgain, time.Now().Add(after)} }

// holds reports whether a try may begin.
func (p *partition) holds() bool { return p.ctx.Err() == nil && p.holdsAt(time.Now()) }

// attempt tries one write. It records in the queue that the try begins, sends the request, and records the outcome,
// before anything else learns of the outcome.
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
	case record.Next.After(record.Updated): // a pause that an earlier owner has made, or the rest of the key
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
	switch {
	case v.State != flushed:
		return f.settle(p, r, w, &record, v, t.Status)
	case t.Confirmed:
		return f.settle(p, r, w, &record, verdict{State: Done}, t.Status)
	}
	// Other instances may still serve the old copies. The recorded state keeps the next owner from sending the write
	// again only to invalidate them.
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

// conclude makes the copies that a write has changed unusable everywhere, before the state of the write becomes Done.
func (f *Flusher) conclude(p *partition, r Ref, w *Write, record *Record, confirm func(context.Context) error) step {
	if confirm == nil {
		confirm = func(ctx context.Context) error { return f.Confirm(ctx, w) }
	}
	for p.holds() {
		if err := confirm(p.ctx); err == nil {
			return f.settle(p, r, w, record, verdict{State: Done}, record.Status) // 0 if an earlier owner had the answer
		}
		wait(p.ctx, askAgain)
	}
	return step{is: stepLost}
}

// settle records the outcome of a try, and repeats the call until the server has answered or the lease ends. After the
// lease, the next owner finds the outcome by itself.
func (f *Flusher) settle(p *partition, r Ref, w *Write, record *Record, v verdict, status int) step {
	of := Outcome{State: v.State, Status: status, Problem: v.Problem, Blocks: v.Blocks, Wait: v.Wait, AtWork: v.AtWork}
	for {
		err := f.Queue.Settle(p.ctx, p.own, r.ID, of)
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

// told reports a recorded outcome, and returns the step for the lane.
func (f *Flusher) told(r Ref, w *Write, record *Record, v verdict, status int) step {
	route := ""
	if w != nil { // otherwise no secret here opens the write
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

// forget removes the entry of a write that is decided.
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
