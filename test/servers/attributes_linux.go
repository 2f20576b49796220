package servers

import "syscall"

// childAttributes puts a server in a process group of its own, so that an
// interrupt typed at the terminal reaches only this process, which then stops
// its servers in order; and has the kernel end the server when this process
// is killed and cannot.
func childAttributes(credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT, Credential: credential}
}
