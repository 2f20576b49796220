package bench

import (
	"errors"
	"sync"
	"time"
)

// sampleEvery is the time between two looks at the memory.
const sampleEvery = 500 * time.Millisecond

// WatchMemory samples a process's memory, as read tells it in bytes, until the
// func that it returns is called, which gives the samples, one at least.
func WatchMemory(pid int, read func(pid int) (int64, error)) func() ([]int64, error) {
	var samples []int64
	var failed error
	end := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			n, err := read(pid)
			failed = errors.Join(failed, err)
			samples = append(samples, n)
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	})
	return func() ([]int64, error) {
		close(end)
		sampler.Wait()
		return samples, failed
	}
}
