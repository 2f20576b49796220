//go:build !linux && !darwin

package upstream

// tellsQuiet says that quiet does not know.
const tellsQuiet = false

// quiet is not known here: the transport's reader finds out.
func (c *countedConn) quiet() bool { return true }
