package valkey

import (
	"sync/atomic"
)

// tripAfter is how many operations in a row must fail before the breaker opens.
const tripAfter = 5

// breaker keeps operations from a server that does not answer. Failed operations open the breaker. Tier.Run probes the
// server while the breaker is open, and closes the breaker again. An operation that began before the breaker opened and
// succeeds afterwards does not close the breaker: one answer among timeouts does not show a healthy server. A breaker
// is safe for concurrent use.
type breaker struct {
	failures atomic.Int32 // in a row
	open     atomic.Bool
	opened   chan struct{} // has room for one; fail sends when it opens the breaker
}

func newBreaker() *breaker { return &breaker{opened: make(chan struct{}, 1)} }

// succeed notes that the server has answered.
func (b *breaker) succeed() {
	if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
}

// fail notes that the server has not answered. After tripAfter failures in a row fail opens the breaker.
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
