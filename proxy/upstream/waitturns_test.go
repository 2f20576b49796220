package upstream

import (
	"testing"
	"time"
)

// A timer that fires just before the next turn begins, and runs after that, ends neither the upstream's turn nor the client's.
func TestTimerOfTheTurnBefore(t *testing.T) {
	cancelled, quieted := 0, 0
	w := &wait{timeout: time.Hour, patience: time.Hour, cancel: func(error) { cancelled++ }, quiet: func() { quieted++ }}
	w.begin()
	defer w.end()
	w.pause()
	w.expire() // of the upstream's turn
	w.resume(1)
	w.expire() // of the client's turn
	if cancelled+quieted != 0 {
		t.Errorf("the upstream's turn was ended %d times, the client's %d times", cancelled, quieted)
	}
	w.due = time.Now()
	w.expire()
	if cancelled != 1 {
		t.Errorf("a turn that is over was ended %d times", cancelled)
	}
}
