package store

import (
	"sync/atomic"
	"time"
)

// Use is the state of a copy that changes while it is stored. Its methods are safe for concurrent use. To save memory, several states share one word.
type Use struct {
	notUntil atomic.Int64  // Unix ns before which the origin is not asked for the copy again, after it has failed
	Hits     atomic.Uint32 // reads since it was stored; saturates
	state    atomic.Uint32 // see the bits
	read     atomic.Uint32 // tick of the last read of this copy, or of one that it has replaced; 0: none

	// references is how many references there are: those of users of the copy, and one for each key under which it is stored. It is next to read
	// and Hits, which a hit writes too, so that they are in one cache line.
	references atomic.Int32
}

// Bits of Use.state.
const (
	renewing = 1 << iota // a renewal is queued or running
	failing              // the last failure was an error for which a copy may be served
	outdated             // the origin has said that it is not fresh any more

	failuresAt   = 8 // from this bit on: how often in a row the origin has failed to renew the copy, up to mostFailures. Success makes another copy
	mostFailures = 0xff
	roundAt      = 16 // from this bit on: the round of Store.Rewarm in which the copy was last written to the tiers, or read from them
)

// alter sets the bits of mask to bits, and returns what they were.
func (u *Use) alter(mask, bits uint32) (old uint32) {
	for {
		old = u.state.Load()
		if u.state.CompareAndSwap(old, old&^mask|bits) {
			return old & mask
		}
	}
}

// tickBits: a tick of Use.read is 2^24 ns, about 17 ms. Ticks are counted modulo 2^32, which takes more than two years: twice as long as any copy is kept.
const tickBits = 24

// tick is the tick of a time. It is never zero.
func tick(t time.Time) uint32 { return max(uint32(t.UnixNano()>>tickBits), 1) }

// never is orderOfReads of a copy that was never read. It is less than that of any other.
const never = 0

// orderOfReads makes ticks of Use.read comparable, although they wrap around: the greater, the later the read.
func orderOfReads(read uint32, now time.Time) int64 {
	if read == 0 {
		return never
	}
	return 1<<32 + int64(int32(read-tick(now)))
}

// Hit counts a read at the time now, and returns the number of reads so far.
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

// Failures is how often in a row the origin has failed to renew the copy.
func (u *Use) Failures() uint32 { return u.state.Load() >> failuresAt & mostFailures }

// Renewing reports whether a renewal is queued or running.
func (u *Use) Renewing() bool { return u.state.Load()&renewing != 0 }

// Fail notes that the origin has failed to renew the copy, and that it is not to be asked for as long as pause says after that many failures in a row. All
// requests that have got the same failed answer may call Fail: it counts once. standsIn says that the failure is one for which a copy may be served.
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

// Failing reports whether the copy, if it may stand in for the origin, is to be served without asking the origin: the origin has failed and is not to be
// asked yet, or another request is asking it.
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
