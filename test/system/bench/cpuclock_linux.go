package bench

import (
	"syscall"
	"time"
	"unsafe"
)

// ownCPU is the CPU time of a process, of all its threads, from the process's clock in nanoseconds. /proc counts in
// ticks and rounds user and system time down to a tick each, which makes up to two hundredths of a second.
func ownCPU(pid int) (time.Duration, bool) {
	const ofProcess = 2 // CPUCLOCK_SCHED, without the bit for a thread (clock_getcpuclockid(3))
	var t syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(^pid<<3|ofProcess), uintptr(unsafe.Pointer(&t)), 0); err != 0 {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
