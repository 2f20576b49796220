package invalidation

import (
	"math"
	"sync/atomic"
	"time"
)

// Lease says until when an instance may use copies without news from the log (R6). Every request reads the lease,
// which costs two atomic loads. Only the follower of the log extends and revokes the lease. A nil *Lease belongs to a
// process that runs alone and always holds. A Lease is safe for concurrent use.
//
// Extend and Revoke store two values one after the other, and a concurrent reader may see one old and one new value.
// Either mixture ends the lease at the earlier of two moments, which is always safe.
type Lease struct {
	base time.Time
	// until and wall are the same moment by two clocks. The monotonic clock does not count the time for which a
	// machine is suspended, and an operator can set the wall clock. The lease holds only while neither clock has
	// passed the moment.
	until atomic.Int64 // ns since base, by the monotonic clock; zero: never held
	wall  atomic.Int64 // Unix ns
}

// MaxLease is the longest lease that can be configured.
const MaxLease = time.Minute

// Timeout returns how long after its last sign of life an instance with this lease certainly holds none, by whatever
// clock.
func Timeout(lease time.Duration) time.Duration { return lease + Margin(lease) }

// Margin returns the allowance of a lease for clocks that run at different rates. The holder of a lease stops that
// much earlier, and an instance that waits for the end of another's lease waits that much longer.
func Margin(lease time.Duration) time.Duration { return max(50*time.Millisecond, lease/20) }

// NewLease makes a lease that does not hold yet.
func NewLease(now time.Time) *Lease { return &Lease{base: now} }

// Valid reports whether the lease holds at now. The caller must read now after the request arrived. With a time from
// before the arrival, a process that was frozen in between would use copies after the other instances have stopped
// waiting for its lease.
func (l *Lease) Valid(now time.Time) bool {
	return l == nil || int64(now.Sub(l.base)) < l.until.Load() && now.UnixNano() < l.wall.Load()
}

// Lapsed returns for how long the lease has not held: zero for a lease that holds, and the longest duration for a
// lease that never held.
func (l *Lease) Lapsed(now time.Time) time.Duration {
	if l.Valid(now) {
		return 0
	}
	until := l.until.Load()
	if until == 0 {
		return math.MaxInt64
	}
	return max(now.Sub(l.base)-time.Duration(until), time.Duration(now.UnixNano()-l.wall.Load()), 1)
}

// Left returns for how long the lease will hold without an extension. Left is zero for a lease that does not hold,
// and for a nil lease, which always holds.
func (l *Lease) Left(now time.Time) time.Duration {
	if l == nil || !l.Valid(now) {
		return 0
	}
	return min(time.Duration(l.until.Load())-now.Sub(l.base), time.Duration(l.wall.Load()-now.UnixNano()))
}

// Extend lets the lease hold until the given moment, and never shortens the lease.
func (l *Lease) Extend(until time.Time) {
	raise(&l.wall, until.UnixNano())
	raise(&l.until, int64(until.Sub(l.base)))
}

// Revoke ends the lease at now.
func (l *Lease) Revoke(now time.Time) {
	if l.Valid(now) {
		l.until.Store(int64(now.Sub(l.base)))
		l.wall.Store(now.UnixNano())
	}
}

func raise(v *atomic.Int64, to int64) {
	for {
		have := v.Load()
		if have >= to || v.CompareAndSwap(have, to) {
			return
		}
	}
}
