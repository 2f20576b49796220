//go:build linux || darwin

package upstream

import (
	"errors"
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
	var peeked error
	// Not raw.Read, which would wait for the reader.
	err := c.raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, peeked = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && (errors.Is(peeked, syscall.EAGAIN) || errors.Is(peeked, syscall.EINTR))
}
