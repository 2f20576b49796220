//go:build linux || darwin

package upstream

import (
	"syscall"
)

// tellsQuiet says whether quiet can look at a connection on this system.
const tellsQuiet = true

// quiet reports that nothing has arrived on a connection without a request under way: neither the connection's end
// nor unasked bytes. The transport's reader notices either on its own goroutine. A request that takes the connection
// before the reader notices would be lost with the connection, and a request that changes something may not be
// repeated. quiet reads no byte. A connection without a socket counts as quiet.
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
