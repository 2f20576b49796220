package invalidation

import (
	"context"
	"strconv"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy"
)

// Local is the log of a process that runs alone. Local counts positions in memory, and an entry holds as soon as it
// is applied.
type Local struct {
	ledger   *Ledger
	instance string

	mu       lockorder.Mutex[lockorder.Local] // serialises Ledger.Apply
	position uint64
	later    []later
	wake     chan struct{} // has room for one
	onNotice func(Notice)  // set before the log is used; nil: nobody listens
}

// later is an action for a later time: the end of an abandoned fence, or the repetition of an invalidation. doDue,
// which Run calls, calls do with Local.mu held.
type later struct {
	at time.Time
	do func(now time.Time)
}

var _ Log = (*Local)(nil)

// NewLocal makes the log of a ledger that nothing else feeds. instance is the name that receipts show.
func NewLocal(l *Ledger, instance string) *Local {
	return &Local{ledger: l, instance: instance, wake: make(chan struct{}, 1)}
}

// OnNotice makes Announce call f with every notice. OnNotice must be called before the first Announce.
func (l *Local) OnNotice(f func(Notice)) { l.onNotice = f }

// Invalidate implements Log. The error is always nil.
func (l *Local) Invalidate(_ context.Context, o Order) (Receipt, error) {
	start := time.Now()
	e := Entry{Operation: o.Operation(), IDs: IDsOf(o.Members)}
	l.mu.Lock()
	defer l.mu.Unlock()
	disturbed := l.ledger.Disturbed(e.IDs, 0)
	for _, w := range o.Wide {
		wide := w.entry(e.Operation)
		l.append(wide, start)
		l.settle(wide, o.Settle, start)
	}
	l.append(e, start)
	l.settle(e, o.Settle, start)
	return l.quiet(l.receipt(start), disturbed), nil
}

// Announce implements Log. The error is always nil.
func (l *Local) Announce(_ context.Context, n Notice) (Receipt, error) {
	start := time.Now()
	if l.onNotice != nil {
		l.onNotice(n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.receipt(start), nil
}

// Begin implements Log. The error is always nil.
func (l *Local) Begin(_ context.Context, members []policy.Member) (*Fence, error) {
	f := &Fence{ids: IDsOf(members)}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.before = l.ledger.Before(f.ids)
	l.append(Entry{Operation: BeginFence, IDs: f.ids}, time.Now())
	f.begun = l.position
	return f, nil
}

// End implements Log. The error is always nil.
func (l *Local) End(_ context.Context, f *Fence, o Order) (Receipt, error) {
	start := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	disturbed := l.position + 1 // the fence may have ended long ago
	if !f.ended {
		disturbed = max(l.ledger.Disturbed(f.ids, f.begun), l.ledger.Disturbed(Without(IDsOf(o.Members), f.ids), 0))
	}
	if o.Undone && !f.ended && disturbed < f.begun {
		f.ended = true
		l.append(Entry{Operation: EndFence, IDs: f.ids, Fenced: len(f.ids), Before: f.before}, start)
		return l.receipt(start), nil
	}
	ended := l.end(f, o.Members, start)
	l.settle(Entry{IDs: ended.IDs}, o.Settle, start)
	return l.quiet(l.receipt(start), disturbed), nil
}

// Abandon implements Log. The fence ends by itself only while Run runs.
func (l *Local) Abandon(f *Fence, hold time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after(hold, time.Now(), func(now time.Time) {
		if !f.ended {
			l.end(f, nil, now)
		}
	})
}

// settle has Run repeat an invalidation after a delay; zero: no repetition. The caller holds l.mu.
func (l *Local) settle(e Entry, after time.Duration, now time.Time) {
	if after > 0 {
		l.after(after, now, func(now time.Time) { l.append(e, now) })
	}
}

// after has Run call do after d. The caller holds l.mu.
func (l *Local) after(d time.Duration, now time.Time, do func(now time.Time)) {
	l.later = append(l.later, later{now.Add(d), do})
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run carries out the actions in later when they are due, and all of them when ctx ends.
func (l *Local) Run(ctx context.Context) error {
	for {
		select {
		case <-time.After(l.doDue(false)):
		case <-l.wake:
		case <-ctx.Done():
			l.doDue(true)
			return nil
		}
	}
}

// doDue carries out the actions that are due, or all of them, and returns how long to wait for the next.
func (l *Local) doDue(all bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, next := time.Now(), time.Hour
	kept := l.later[:0]
	for _, x := range l.later {
		if wait := x.at.Sub(now); !all && wait > 0 {
			next = min(next, wait)
			kept = append(kept, x)
			continue
		}
		x.do(now)
	}
	clear(l.later[len(kept):])
	l.later = kept
	return next
}

// end appends the end of a fence, and returns the entry. The caller holds l.mu.
func (l *Local) end(f *Fence, further []policy.Member, now time.Time) Entry {
	fenced := len(f.ids)
	if f.ended {
		fenced = 0
	}
	f.ended = true
	ids := append(append([]ID(nil), f.ids...), IDsOf(further)...)
	e := Entry{Operation: EndFence, IDs: ids, Fenced: fenced}
	l.append(e, now)
	return e
}

// append gives an entry its position and applies the entry. The caller holds l.mu.
func (l *Local) append(e Entry, now time.Time) {
	l.position++
	e.Position = l.position
	l.ledger.Apply(e, now)
}

// quiet sets Receipt.Quiet from disturbed, the last position at which something else had named the members of the
// entry.
func (l *Local) quiet(r Receipt, disturbed uint64) Receipt {
	r.Quiet = r.Position - disturbed
	return r
}

func (l *Local) receipt(start time.Time) Receipt {
	return Receipt{
		ID: l.instance + "-" + strconv.FormatUint(l.position, 10), Seq: l.position, Position: l.position,
		Instances: 1, Acked: []string{l.instance}, Took: time.Since(start),
		Recorded: true, Held: true,
	}
}
