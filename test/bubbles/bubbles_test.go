package bubbles_test

import (
	"sync"
	"testing"
	"time"

	"cacheproxy/test/bubbles"
)

// Timers that are due at once, made by many goroutines: with the race detector and two processors the program would end.
func TestTimersDueAtOnce(t *testing.T) {
	bubbles.Test(t, func(*testing.T) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 5000 {
					time.AfterFunc(-1, func() {})
					<-time.After(0)
				}
			})
		}
		all.Wait()
	})
}
