//go:build !linux

package bench

import "time"

// ownCPU reports that another process has no clock to read.
func ownCPU(int) (time.Duration, bool) { return 0, false }
