//go:build linux || darwin

package upstream

import (
	"syscall"
)

// tellsQuiet says whether quiet works on this system.
const tellsQuiet = true

// quiet reports whether nothing has arrived on an idle connection: neither its end nor bytes. The transport's reader notices either only on its own
// goroutine. A request that takes the connection before would be lost with it, and an unsafe one must not be repeated. quiet reads nothing, and
// reports true if the connection has no socket to ask.
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
