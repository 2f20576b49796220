package store

import (
	"sync/atomic"
	"time"
)

// Use has the changing state of a stored copy. There is one Use for each copy, so the rare values share a word.
type Use struct {
	notUntil atomic.Int64  // Unix ns before which no request asks the origin, after a failure
	Hits     atomic.Uint32 // reads since the copy was stored; saturates
	state    atomic.Uint32 // see the bits
	read     atomic.Uint32 // tick of the last read of this copy, or of one that this copy has replaced; 0: none

	// references counts the holders of the bytes: each caller that has taken a reference, and each key under which the
	// copy is stored. references stands beside fields that a hit writes to as well.
	references atomic.Int32
}

// Bits of Use.state.
const (
	renewing = 1 << iota // a renewal is queued or running
	failing              // the last failure was an error for which the copy may stand in
	outdated             // the origin has said that the copy is stale

	failuresAt   = 8 // failures of the origin in a row, up to mostFailures; a renewal makes another copy
	mostFailures = 0xff
	roundAt      = 16 // low bits of the Store.Rewarm round in which the tiers below were last known to have the copy
)

// alter sets the bits of a mask to bits, and returns their old values.
func (u *Use) alter(mask, bits uint32) (old uint32) {
	for {
		old = u.state.Load()
		if u.state.CompareAndSwap(old, old&^mask|bits) {
			return old & mask
		}
	}
}

// tickBits gives the length of a tick of Use.read: 2^24 ns, 17 ms. Ticks are counted modulo 2^32, which is more than
// two years: twice as long as any copy is held.
const tickBits = 24

// tick is the tick of a time. No tick is zero.
func tick(t time.Time) uint32 { return max(uint32(t.UnixNano()>>tickBits), 1) }

// never is the place of a copy without a read in the order of reads.
const never = 0

// orderOfReads is the place of a tick of Use.read among others. A later tick has a greater place.
func orderOfReads(read uint32, now time.Time) int64 {
	if read == 0 {
		return never
	}
	return 1<<32 + int64(int32(read-tick(now)))
}

// Hit counts a read at a time, and returns the number of reads so far.
func (u *Use) Hit(now time.Time) uint32 {
	u.read.Store(tick(now))
	n := u.Hits.Load()
	if n == ^uint32(0) {
		return n
	}
	return u.Hits.Add(1)
}

// Outdate makes the copy stale where its lifetime does not say so yet.
func (u *Use) Outdate() { u.alter(outdated, outdated) }

// Failures is how often in a row the origin failed to renew the copy.
func (u *Use) Failures() uint32 { return u.state.Load() >> failuresAt & mostFailures }

// Renewing reports whether a renewal is queued or running.
func (u *Use) Renewing() bool { return u.state.Load()&renewing != 0 }

// Fail notes that the origin failed to renew the copy. Until the pause for that many failures in a row is over, no
// renewal starts. Each request that waited for the same answer may call Fail: the failure counts once. standsIn says
// that the failure was an error for which the copy may be served.
func (u *Use) Fail(now time.Time, standsIn bool, pause func(failures uint32) time.Duration) {
	stands := uint32(0)
	if standsIn {
		stands = failing
	}
	until, failures := u.notUntil.Load(), min(u.Failures()+1, mostFailures)
	if now.UnixNano() >= until && u.notUntil.CompareAndSwap(until, now.Add(pause(failures)).UnixNano()) {
		u.alter(failing|mostFailures<<failuresAt, stands|failures<<failuresAt)
	} else if standsIn {
		u.alter(failing, failing)
	}
}

// Failing reports whether the copy, where it may stand in for the origin, is to do so without a request to the origin
// first. The origin has failed, and either the pause lasts or another request is renewing the copy.
func (u *Use) Failing(now time.Time) bool {
	state := u.state.Load()
	return state&failing != 0 && (now.UnixNano() < u.notUntil.Load() || state&renewing != 0)
}

// StartRenewal reports whether the caller may renew the copy. A caller that gets true must call EndRenewal.
func (u *Use) StartRenewal(now time.Time) bool {
	return now.UnixNano() >= u.notUntil.Load() && u.alter(renewing, renewing) == 0
}

// EndRenewal ends a renewal. The next one may start after the pause.
func (u *Use) EndRenewal(now time.Time, pause time.Duration) {
	if pause > 0 {
		u.notUntil.Store(now.Add(pause).UnixNano())
	}
	u.alter(renewing, 0)
}
