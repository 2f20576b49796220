//go:build !linux && !darwin

package upstream

// tellsQuiet says whether quiet works on this system.
const tellsQuiet = false

// quiet does not work on this system. The transport's reader notices later what has arrived.
func (c *countedConn) quiet() bool { return true }
