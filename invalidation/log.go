package invalidation

import (
	"context"
	"errors"
	"time"

	"cacheproxy/policy"
)

var (
	// ErrNotConfirmed says that the log has the invalidation, but not every instance is known to have applied it.
	ErrNotConfirmed = errors.New("invalidation is recorded but not confirmed")
	// ErrNotRecorded says that an invalidation may not have reached the log.
	ErrNotRecorded = errors.New("invalidation is not recorded")
)

// Wait says what an invalidation waits for before the log answers the caller.
type Wait uint8

const (
	// WaitAll waits until the entry holds everywhere: every live instance has applied the entry, or has provably lost
	// its lease (R13).
	// The zero value.
	WaitAll Wait = iota
	// WaitRecorded waits until the entry is in the log.
	WaitRecorded
	// WaitLocal applies the order on this instance, whether or not the log can be reached. An order that could not be
	// recorded is queued.
	WaitLocal
)

// Order is one invalidation.
type Order struct {
	Members []policy.Member // at least one
	// Older are members by which earlier versions know the same copies, and other copies too; see Record.Older.
	Older []policy.Member
	// Wide are names that stand for many copies, and spare some of them. An order with a fence has none.
	Wide []Wide
	Soft bool // mark stale instead of unusable
	// Confirm has copies confirmed by the origin before they are used, instead of making the copies unusable. Callers
	// set Confirm for members that may have changed, such as those of a write with an unknown outcome. Soft then has
	// no meaning.
	Confirm bool
	Wait    Wait
	// Settle repeats the order once after this delay; whichever instance is alive then writes the repetition. Settle
	// serves origins that read from lagging replicas, and changes that are announced before they are committed. Zero:
	// no repetition.
	Settle time.Duration
	// Undone says, of the end of a fence, that the write changed nothing at the origin: copies are as they were
	// before the fence, where nothing else has named the members of the fence meanwhile. The order then has no
	// members.
	Undone bool
	// Placed says, of the end of a fence, that the caller needs the place of the end in the ledger
	// (Receipt.Position). End then waits until the end is recorded and applied here, although the end may hold
	// before.
	Placed bool
}

// Wide names members of copies. Copies that have one of the spared members as well are left alone.
type Wide struct{ Members, Spared []policy.Member }

// entry returns the ledger's entry for a wide name.
func (w Wide) entry(op Operation) Entry {
	return Entry{Operation: op, IDs: IDsOf(w.Members), Spared: IDsOf(w.Spared)}
}

// Operation returns what the entry of the order does to the order's members.
func (o Order) Operation() Operation {
	switch {
	case o.Confirm:
		return InvalidateConfirm
	case o.Soft:
		return InvalidateSoft
	}
	return Invalidate
}

// Notice is a message to every instance, which travels in the log and is confirmed like an invalidation. The log
// keeps the last notice on a subject for instances that join later. An empty body withdraws the subject.
type Notice struct {
	Subject string
	Body    []byte
}

// Receipt says where an invalidation is in the log and who has applied it.
type Receipt struct {
	ID        string
	Seq       uint64   // of the entry, in the log
	Position  uint64   // of the entry, in the ledger of this process; zero: not applied here yet
	Instances int      // live when the entry was confirmed
	Acked     []string // instances that have applied the entry
	Reaped    []string // instances that were found dead meanwhile
	Took      time.Duration
	// Quiet counts the positions before the entry at which nothing else had named the members of the entry: neither
	// an order nor a fence of another writer. Zero: not known.
	Quiet uint64

	Recorded bool // the entry is in the log, and will be applied by every instance
	Held     bool // the entry holds on every instance
}

// Token returns the position of the invalidation. A copy with this token is as new as the change that was announced,
// and no newer.
func (r Receipt) Token() Token { return Token{r.Position} }

// Exclusive reports whether nothing but the order, and the fence that the order ends, named the members of both after
// t. The log reads the marks in the same step as the log applies the entry. A reader that looked at the ledger after
// that step would find the entry's own marks in the place of marks that another order had set. The answer to a write
// could then be stored although a purge had named its key meanwhile.
func (r Receipt) Exclusive(t Token) bool { return r.Quiet > 0 && r.Position-r.Quiet <= t.position }

// Log orders the entries that make copies unusable and applies them to the ledger. All methods are safe for
// concurrent use. A nil error means that the entry holds on every instance for every request that arrives afterwards,
// unless the order waits for less.
type Log interface {
	// Invalidate makes every copy with one of the members unusable, or stale when soft. ErrNotConfirmed comes with a
	// receipt that says what is known.
	Invalidate(ctx context.Context, o Order) (Receipt, error)
	// Begin fences the members. When Begin returns without an error, the fence holds on every instance, in the sense
	// of WaitAll. When Begin returns an error, the caller has no fence.
	Begin(ctx context.Context, members []policy.Member) (*Fence, error)
	// End carries out the order on the members of the fence and of the order, which may have none, and ends the
	// fence. The order is never soft. When End returns, copies from before the end are not used any more; the fence
	// itself may stand a little longer. A fence ends once; further calls only invalidate. With WaitLocal the fence
	// stands until its end is recorded.
	End(ctx context.Context, f *Fence, o Order) (Receipt, error)
	// Announce sends the notice to every instance.
	Announce(ctx context.Context, n Notice) (Receipt, error)
	// Abandon leaves the fence open for hold, after which the fence ends by itself. Callers abandon the fence of a
	// write whose outcome is unknown.
	Abandon(f *Fence, hold time.Duration)
}
