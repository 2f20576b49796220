package invalidation

import "sync/atomic"

// Fence keeps copies with the members that a write touches from being used and stored, from before the origin sees the write until
// its outcome is known (R15). The zero value is of no use.
type Fence struct {
	ids    []ID
	number uint64      // in a shared log; never changes
	over   atomic.Bool // the fence was ended, in a shared log

	// Of the log of a single process, guarded by Local.mu.

	begun  uint64   // position of its beginning
	before []uint64 // Ledger.Before, when it began
	ended  bool
}

// NewFence makes the fence of a shared log, in which number tells it from all others.
func NewFence(ids []ID, number uint64) *Fence { return &Fence{ids: ids, number: number} }

// IDs are the members. The slice must not be changed.
func (f *Fence) IDs() []ID { return f.ids }

// Number tells the fence from others in a shared log.
func (f *Fence) Number() uint64 { return f.number }

// Over notes that the fence was ended in a shared log.
func (f *Fence) Over() { f.over.Store(true) }

// Ended reports whether Over was called.
func (f *Fence) Ended() bool { return f.over.Load() }
