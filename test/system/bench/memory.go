package bench

import (
	"errors"
	"sync"
	"time"
)

// sampleEvery is the time between two samples of the memory.
const sampleEvery = 500 * time.Millisecond

// WatchMemory samples a process's memory, which read returns in bytes. Calling the returned func ends sampling and
// returns the samples, at least one.
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
