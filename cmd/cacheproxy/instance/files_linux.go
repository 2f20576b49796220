package instance

import (
	"fmt"
	"math"
	"syscall"
)

// fileLimit is how many files the process may have open. Go raises the limit to the hard limit at start.
func fileLimit() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read limit of open files: %w", err)
	}
	return int(min(limit.Cur, math.MaxInt32)), nil
}
