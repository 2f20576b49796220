package invalidation

import "sync/atomic"

// Fence keeps copies with the members that a write touches from being used and stored, from before the origin sees
// the write until the outcome of the write is known (R15). Only Log.Begin and NewFence make usable fences.
type Fence struct {
	ids    []ID
	number uint64      // in a shared log; never changes
	over   atomic.Bool // the fence was ended, in a shared log

	// Local uses the fields below, under Local.mu.

	begun  uint64   // position of the beginning
	before []uint64 // Ledger.Before, when the fence began
	ended  bool
}

// NewFence makes a fence of a shared log. number is unique among the fences of the log.
func NewFence(ids []ID, number uint64) *Fence { return &Fence{ids: ids, number: number} }

// IDs returns the members. The slice must not be changed.
func (f *Fence) IDs() []ID { return f.ids }

// Number returns the number that NewFence was given.
func (f *Fence) Number() uint64 { return f.number }

// Over notes that the fence was ended in a shared log.
func (f *Fence) Over() { f.over.Store(true) }

// Ended reports whether Over was called.
func (f *Fence) Ended() bool { return f.over.Load() }
