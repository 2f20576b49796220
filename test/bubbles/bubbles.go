// Package bubbles runs tests in bubbles of testing/synctest that the race detector survives.
package bubbles

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test runs f in a bubble as synctest.Test does, with the race detector on one processor.
//
// A timer that is due when it is made runs at once, on the goroutine that makes it, and for the detector all timers of a bubble are one
// thread: two goroutines that make such timers at the same time use that thread together, and the detector ends the program ("CHECK failed",
// https://go.dev/issue/78156). httputil.ReverseProxy makes one for each body that it passes on. Goroutines that take turns on one processor
// do not meet there, since what runs a timer is not preempted; races are found all the same, by the order of events and not by their time.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if raceDetector {
		oneProcessor.take()
		defer oneProcessor.give()
	}
	synctest.Test(t, f)
}

// oneProcessor is held by the bubbles that run, which may be several.
var oneProcessor processors

type processors struct {
	mu      sync.Mutex
	holders int
	before  int // processors to go back to
}

func (p *processors) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holders++; p.holders == 1 {
		p.before = runtime.GOMAXPROCS(1)
	}
}

func (p *processors) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holders--; p.holders == 0 {
		runtime.GOMAXPROCS(p.before)
	}
}
