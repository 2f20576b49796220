package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"
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
			n, err := residentMemory(pid)
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

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

func residentMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read resident memory (this needs Linux): %w", err)
	}
	line := residentLine.FindSubmatch(text)
	if line == nil {
		return 0, fmt.Errorf("read resident memory: process %d tells none", pid)
	}
	n, err := strconv.ParseInt(string(line[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	return n << 10, nil
}
