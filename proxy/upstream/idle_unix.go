//go:build linux || darwin

package upstream

import (
	"syscall"
)

// tellsQuiet says that quiet knows.
const tellsQuiet = true

// quiet reports that nothing has arrived on a connection that nobody has asked anything on: neither its end nor bytes that nobody waits
// for. The transport's reader hears of either on its own goroutine; a request that takes the connection before would be lost with it, and
// one that changes something may not be repeated. Nothing is read, and what cannot be asked is quiet.
func (c *countedConn) quiet() bool {
	if c.raw == nil {
		return true
	}
	if c.peek == nil {
		c.peek = func(fd uintptr) {
			_, _, c.peeked = syscall.Recvfrom(int(fd), c.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		}
	}
	err := c.raw.Control(c.peek) // not raw.Read, which would wait for the reader
	return err == nil && (c.peeked == syscall.EAGAIN || c.peeked == syscall.EINTR)
}
