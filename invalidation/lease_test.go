package invalidation

import (
	"math"
	"testing"
	"time"
)

func TestLease(t *testing.T) {
	now := time.Now()
	l := NewLease(now)
	if l.Valid(now) || l.Lapsed(now) != math.MaxInt64 || l.Left(now) != 0 {
		t.Error("a lease that was never taken holds")
	}
	l.Extend(now.Add(time.Second))
	l.Extend(now.Add(time.Millisecond)) // of a heartbeat that was answered late
	for _, c := range []struct {
		name   string
		at     time.Time
		left   time.Duration
		lapsed time.Duration
	}{
		{"before its end", now.Add(time.Second - 1), 1, 0},
		{"at its end", now.Add(time.Second), 0, 1},
		{"after it", now.Add(3 * time.Second), 0, 2 * time.Second},
		// A machine that was suspended: the monotonic clock stood still.
		{"after a jump of the wall clock", time.Unix(0, now.Add(time.Hour).UnixNano()), 0, time.Hour - time.Second},
	} {
		if got := l.Lapsed(c.at); got != c.lapsed || l.Valid(c.at) != (c.lapsed == 0) {
			t.Errorf("%s: lapsed for %v, want %v", c.name, got, c.lapsed)
		}
		if got := l.Left(c.at); got != c.left {
			t.Errorf("%s: %v are left, want %v", c.name, got, c.left)
		}
	}
	var alone *Lease
	if !alone.Valid(now) || alone.Lapsed(now) != 0 || alone.Left(now) != 0 {
		t.Error("a process that runs alone has no lease")
	}
}
