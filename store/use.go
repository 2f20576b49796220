package store

import (
	"sync/atomic"
	"time"
)

// Use is what happens to a copy while it is stored. There is one for each copy, so what seldom happens shares a word.
type Use struct {
	notUntil atomic.Int64  // Unix ns before which the origin is not asked, after it failed
	Hits     atomic.Uint32 // reads since it was stored; saturates
	state    atomic.Uint32 // see the bits
	read     atomic.Uint32 // tick of the last read of this copy, or of one that it has replaced; 0: none

	// references counts those who may read the bytes: everybody who has taken one, and every key under which the copy is stored. It
	// stands beside what a hit writes to as well.
	references atomic.Int32
}

// Bits of Use.state.
const (
	renewing = 1 << iota // a renewal is queued or running
	failing              // the last failure was an error for which a copy may be served
	outdated             // the origin has said that it is not fresh any more

	failuresAt   = 8 // times that the origin failed to give the copy anew, up to mostFailures; when it succeeds, that makes another copy
	mostFailures = 0xff
	roundAt      = 16 // of Store.Rewarm, in which it was last given to the tiers below memory, or came from there; the lower bits of its number
)

// alter has the bits of a mask be as bits says, and gives what they were.
func (u *Use) alter(mask, bits uint32) (old uint32) {
	for {
		old = u.state.Load()
		if u.state.CompareAndSwap(old, old&^mask|bits) {
			return old & mask
		}
	}
}

// tickBits is how long a tick of Use.read is: 2^24 ns, 17 ms. Ticks are counted modulo 2^32, which is more than two years: twice as long as
// any copy is held.
const tickBits = 24

// tick is that of a time. It is never zero.
func tick(t time.Time) uint32 { return max(uint32(t.UnixNano()>>tickBits), 1) }

// never is the place of what was never read in the order of reads.
const never = 0

// orderOfReads is where a tick of Use.read stands among others: the greater, the later.
func orderOfReads(read uint32, now time.Time) int64 {
	if read == 0 {
		return never
	}
	return 1<<32 + int64(int32(read-tick(now)))
}

// Hit counts a read at a time and says the number of reads so far.
func (u *Use) Hit(now time.Time) uint32 {
	u.read.Store(tick(now))
	n := u.Hits.Load()
	if n == ^uint32(0) {
		return n
	}
	return u.Hits.Add(1)
}

// Outdate makes the copy stale, if it is not so already.
func (u *Use) Outdate() { u.alter(outdated, outdated) }

// Failures is how often in a row the origin failed to give the copy anew.
func (u *Use) Failures() uint32 { return u.state.Load() >> failuresAt & mostFailures }

// Renewing reports whether a renewal is queued or running.
func (u *Use) Renewing() bool { return u.state.Load()&renewing != 0 }

// Fail notes that the origin failed to give the copy anew, and has it left alone for as long as pause says after that many failures in
// a row. All who waited for one answer may note it: it counts once. standsIn says that it was an error for which a copy may be served.
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

// Failing reports whether the copy, where it may stand in for the origin, is to do so without asking first: the origin failed and is
// left alone, or somebody else is asking it again.
func (u *Use) Failing(now time.Time) bool {
	state := u.state.Load()
	return state&failing != 0 && (now.UnixNano() < u.notUntil.Load() || state&renewing != 0)
}

// StartRenewal reports whether the caller may renew the copy now; it then must call EndRenewal.
func (u *Use) StartRenewal(now time.Time) bool {
	return now.UnixNano() >= u.notUntil.Load() && u.alter(renewing, renewing) == 0
}

// EndRenewal lets the next renewal start, after the pause.
func (u *Use) EndRenewal(now time.Time, pause time.Duration) {
	if pause > 0 {
		u.notUntil.Store(now.Add(pause).UnixNano())
	}
	u.alter(renewing, 0)
}
