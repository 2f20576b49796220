package e2e

import "syscall"

// childAttributes has the kernel end the program when the tests are killed and cannot.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
