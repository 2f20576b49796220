package invalidation

import (
	"context"
	"errors"
	"time"

	"cacheproxy/policy"
)

// ErrNotConfirmed says that an invalidation was recorded but could not be confirmed to hold everywhere.
var ErrNotConfirmed = errors.New("invalidation is recorded but not confirmed")

// Receipt says where an invalidation stands and who has applied it.
type Receipt struct {
	ID        string
	Position  uint64
	Instances int      // live when it was confirmed
	Acked     []string // instances that have applied it
	Reaped    []string // instances that were found dead meanwhile
	Took      time.Duration
	// Exclusive says, of the end of a fence, that nothing else touched its members since it began.
	Exclusive bool
}

// Token is the position of the invalidation. A copy that bears it is as new as the change that was announced, and none
// newer.
func (r Receipt) Token() Token { return Token{r.Position} }

// Log orders the entries that make copies unusable and applies them to the ledger. All methods are safe for concurrent
// use. A nil error means that the entry holds for every request that arrives from then on, on every instance.
type Log interface {
	// Invalidate makes every copy with one of the members unusable, or marks it stale when soft.
	Invalidate(ctx context.Context, members []policy.Member, soft bool) (Receipt, error)
	// Begin fences the members. On an error there is no fence.
	Begin(ctx context.Context, members []policy.Member) (*Fence, error)
	// End invalidates the fence's members and the further ones, and takes the fence away. A fence ends once; further
	// calls only invalidate.
	End(ctx context.Context, f *Fence, further []policy.Member) (Receipt, error)
	// Abandon leaves the fence standing for hold, after which it ends by itself: for writes whose outcome is unknown.
	Abandon(f *Fence, hold time.Duration)
}
