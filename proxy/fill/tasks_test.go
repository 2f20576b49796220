package fill

import (
	"testing"
	"testing/synctest"

	"cacheproxy/test/bubbles"
)

// A goroutine that has done its task does the next one, up to some; and none is left when the tasks have come to their end.
func TestTasksKeepGoroutines(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		var ts tasks
		ts.keep()
		const many = 3 * maxResting
		release := make(chan struct{})
		for range many {
			ts.Go(func() { <-release })
		}
		synctest.Wait()
		if n := ts.count(); n != many {
			t.Errorf("%d tasks, want %d", n, many)
		}
		close(release)
		synctest.Wait()
		if n := ts.resting.Load(); n != maxResting {
			t.Errorf("%d goroutines are kept, want %d", n, maxResting)
		}
		hold := make(chan struct{})
		ts.Go(func() { <-hold })
		synctest.Wait()
		if n := ts.resting.Load(); n != maxResting-1 {
			t.Errorf("%d goroutines are kept beside one with a task, want %d", n, maxResting-1)
		}
		// Close waits for the task, which may start another; and the bubble for every goroutine.
		done := false
		go func() {
			ts.Close()
			done = true
		}()
		synctest.Wait()
		if done {
			t.Error("Close has not waited for the task")
		}
		ts.Go(func() {})
		close(hold)
		synctest.Wait()
		if !done || ts.Go(func() {}) {
			t.Errorf("done: %v; a task was begun after all", done)
		}
	})
}
