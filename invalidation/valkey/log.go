package valkey

import (
	"context"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Log is the log of invalidations that all instances on a server share. Run must run for it to work.
type Log struct{ options Options }

var (
	_ invalidation.Log   = (*Log)(nil)
	_ invalidation.Chart = (*Log)(nil)
)

// New makes the log of an instance. It dials nothing.
func New(o Options) *Log { return &Log{options: o} }

// Run follows the log until ctx ends.
func (l *Log) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Leave takes this instance out of the fleet, so that nobody waits for it. It must serve nothing from copies afterwards.
func (l *Log) Leave(ctx context.Context) error { return ErrNotConnected }

// Lease is this instance's.
func (l *Log) Lease() *invalidation.Lease { return nil }

// State is a snapshot for operators.
func (l *Log) State() State { return State{} }

// Invalidate implements invalidation.Log.
func (l *Log) Invalidate(ctx context.Context, o invalidation.Order) (invalidation.Receipt, error) {
	return invalidation.Receipt{}, ErrNotConnected
}

// Announce implements invalidation.Log.
func (l *Log) Announce(ctx context.Context, n invalidation.Notice) (invalidation.Receipt, error) {
	return invalidation.Receipt{}, ErrNotConnected
}

// Begin implements invalidation.Log.
func (l *Log) Begin(ctx context.Context, members []policy.Member) (*invalidation.Fence, error) {
	return nil, ErrNotConnected
}

// End implements invalidation.Log.
func (l *Log) End(ctx context.Context, f *invalidation.Fence, o invalidation.Order) (invalidation.Receipt, error) {
	return invalidation.Receipt{}, ErrNotConnected
}

// Abandon implements invalidation.Log.
func (l *Log) Abandon(f *invalidation.Fence, hold time.Duration) {}

// Share implements invalidation.Chart.
func (l *Log) Share(t invalidation.Token) (invalidation.Shared, bool) {
	return invalidation.Shared{}, false
}

// Adopt implements invalidation.Chart.
func (l *Log) Adopt(s invalidation.Shared) (invalidation.Token, bool) {
	return invalidation.Token{}, false
}
