package observe

import (
	"time"

	"cacheproxy/lockorder"
)

const (
	throttlePasses = 5
	throttleSpan   = time.Minute
)

// Throttle lets five events of a minute pass and counts the others. Throttle is for log lines that tend to be alike.
// The zero value is ready, and safe for concurrent use.
type Throttle struct {
	mu              lockorder.Mutex[lockorder.Throttle]
	began           time.Time
	passed, skipped int
}

// Rest is the number of events that did not pass in the last minute, once that minute is over. Rest reports events that
// no later event has reported: after the last event of a series none will.
func (t *Throttle) Rest(now time.Time) (skipped int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.began) >= throttleSpan {
		skipped, t.skipped = t.skipped, 0
	}
	return skipped
}

// Idle reports whether the minute of the last event that passed is over, and all events that did not pass were told.
func (t *Throttle) Idle(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Sub(t.began) >= throttleSpan && t.skipped == 0
}

// Pass reports whether an event may pass. For an event that may, skipped is the number of events held back since the
// last event that passed.
func (t *Throttle) Pass(now time.Time) (ok bool, skipped int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.began) >= throttleSpan {
		t.began, t.passed = now, 0
	}
	if t.passed >= throttlePasses {
		t.skipped++
		return false, 0
	}
	skipped = t.skipped
	t.passed, t.skipped = t.passed+1, 0
	return true, skipped
}
