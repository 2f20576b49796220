package valkey

import (
	"sync/atomic"
)

// tripAfter is how many operations in a row must fail before no more are tried.
const tripAfter = 5

// breaker is a circuit breaker: it keeps operations from a server that does not answer. Failed operations open it, and Tier.Run, which probes the server
// meanwhile, closes it. An operation that began before the breaker has opened and succeeds afterwards does not close it: one answer among timeouts does
// not mean that the server works. A breaker is safe for concurrent use.
type breaker struct {
	failures atomic.Int32 // in a row
	open     atomic.Bool
	opened   chan struct{} // has room for one; receives when the breaker opens
}

func newBreaker() *breaker { return &breaker{opened: make(chan struct{}, 1)} }

// succeed notes that the server has answered.
func (b *breaker) succeed() {
	if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
}

// fail notes that the server has not answered, and opens the breaker after too many such in a row.
func (b *breaker) fail() {
	if b.failures.Add(1) < tripAfter || !b.open.CompareAndSwap(false, true) {
		return
	}
	select {
	case b.opened <- struct{}{}:
	default:
	}
}

// close lets operations through again.
func (b *breaker) close() {
	b.failures.Store(0)
	b.open.Store(false)
}
