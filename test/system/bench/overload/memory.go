package main

import (
	"errors"
	"sync"
	"time"

	"cacheproxy/test/system/bench"
)

// sampleEvery is the time between two looks at the memory.
const sampleEvery = 500 * time.Millisecond

// watchMemory samples a process's resident memory until the func that it
// returns is called, which gives the samples in bytes.
func watchMemory(pid int) func() ([]int64, error) {
	var samples []int64
	var failed error
	end := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			n, err := bench.ResidentMemory(pid)
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
