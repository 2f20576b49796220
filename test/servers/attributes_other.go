//go:build unix && !linux

package servers

import "syscall"

// childAttributes puts a server in a process group of its own, so that an
// interrupt typed at the terminal reaches only this process, which then stops
// its servers in order.
func childAttributes(credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: credential}
}
