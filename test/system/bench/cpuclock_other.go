//go:build !linux

package bench

import "time"

// ownCPU says that there is no clock of another process.
func ownCPU(int) (time.Duration, bool) { return 0, false }
