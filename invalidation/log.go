package invalidation

import (
	"context"
	"errors"
	"time"

	"cacheproxy/policy"
)

var (
	// ErrNotConfirmed says that an invalidation was recorded but could not be confirmed to hold everywhere.
	ErrNotConfirmed = errors.New("invalidation is recorded but not confirmed")
	// ErrNotRecorded says that an invalidation may not have reached the log.
	ErrNotRecorded = errors.New("invalidation is not recorded")
)

// Wait says what an invalidation waits for before it answers.
type Wait uint8

const (
	// WaitAll waits until the entry holds everywhere: every live instance has applied it, or has provably lost its lease (R13).
	// The zero value.
	WaitAll Wait = iota
	// WaitRecorded waits until the entry is in the log.
	WaitRecorded
	// WaitLocal applies the order on this instance, whether or not the log can be reached. What could not be recorded is queued.
	WaitLocal
)

// Order is one invalidation.
type Order struct {
	Members []policy.Member // at least one
	// Older are members by which versions before this one know the same copies, and others too: see Record.Older.
	Older []policy.Member
	// Wide are names that stand for many, and spare some; not with a fence.
	Wide []Wide
	Soft bool // mark stale instead of unusable
	// Confirm has copies confirmed by the origin before they are used, instead of making them unusable: for members that have
	// changed for all that is known, such as those of a write whose outcome nobody knows. Soft then has no meaning.
	Confirm bool
	Wait    Wait
	// Settle repeats the order once after this delay, by whichever instance is alive then: for origins that read from lagging
	// replicas, and for changes that are announced before they are committed. Zero: never.
	Settle time.Duration
	// Undone says, of the end of a fence, that nothing came of the write: copies are as they were before the fence, where
	// nothing else has named its members meanwhile. The order then has no members.
	Undone bool
	// Placed says, of the end of a fence, that the caller needs its place in the ledger (Receipt.Position), and so waits until the end is
	// recorded and applied here, although it may hold before.
	Placed bool
}

// Wide names members of copies, but for those copies that have one of the spared members as well.
type Wide struct{ Members, Spared []policy.Member }

// entry is what a wide name becomes in the ledger.
func (w Wide) entry(op Operation) Entry {
	return Entry{Operation: op, IDs: IDsOf(w.Members), Spared: IDsOf(w.Spared)}
}

// Operation is what the entry of an order does to its members.
func (o Order) Operation() Operation {
	switch {
	case o.Confirm:
		return InvalidateConfirm
	case o.Soft:
		return InvalidateSoft
	}
	return Invalidate
}

// Notice is a message to every instance, which travels in the log and is confirmed like an invalidation. The last one on a
// subject stays, for instances that join later; an empty body withdraws the subject.
type Notice struct {
	Subject string
	Body    []byte
}

// Receipt says where an invalidation is in the log and who has applied it.
type Receipt struct {
	ID        string
	Seq       uint64   // of the entry, in the log
	Position  uint64   // of the entry, in the ledger of this process; zero: not applied here yet
	Instances int      // live when it was confirmed
	Acked     []string // instances that have applied it
	Reaped    []string // instances that were found dead meanwhile
	Took      time.Duration
	// Quiet is for how many positions before the entry nothing else had named the members that it names: neither an order
	// nor a fence of another. Zero: not known.
	Quiet uint64

	Recorded bool // the entry is in the log, and will be applied by every instance
	Held     bool // the entry holds on every instance
}

// Token is the position of the invalidation. A copy with this token is as new as the change that was announced, and no newer.
func (r Receipt) Token() Token { return Token{r.Position} }

// Exclusive reports whether nothing but the order, and the fence that it ends, named their members after t. The log looks in one
// step with applying the entry. A look at the ledger afterwards would find the entry's own marks in the place of those that another
// order had set, and the answer to a write could be stored although its key was purged meanwhile.
func (r Receipt) Exclusive(t Token) bool { return r.Quiet > 0 && r.Position-r.Quiet <= t.position }

// Log orders the entries that make copies unusable and applies them to the ledger. All methods are safe for concurrent
// use. A nil error means that the entry holds for every request that arrives from then on, on every instance, unless the order
// waits for less.
type Log interface {
	// Invalidate makes every copy with one of the members unusable, or stale when soft. ErrNotConfirmed comes with a receipt of
	// what is known.
	Invalidate(ctx context.Context, o Order) (Receipt, error)
	// Begin fences the members. When it returns, the fence holds on every instance, in the sense of WaitAll. On an error there is none.
	Begin(ctx context.Context, members []policy.Member) (*Fence, error)
	// End carries out the order on the fence's members and the order's, of which there may be none, and ends the fence. The order
	// is never soft. Copies from before are not used any more when it returns; the fence may stand a little longer. A fence ends once; further calls only invalidate. With WaitLocal the fence stands until its end is recorded.
	End(ctx context.Context, f *Fence, o Order) (Receipt, error)
	// Announce tells every instance.
	Announce(ctx context.Context, n Notice) (Receipt, error)
	// Abandon leaves the fence open for hold, after which the fence ends by itself: for writes whose outcome is unknown.
	Abandon(f *Fence, hold time.Duration)
}
