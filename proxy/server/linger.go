package server

import "time"

const (
	// lingerFor is how long a client may go on sending a body that nobody wants.
	lingerFor = 30 * time.Second
	// lingerSilent is how long such a client may send nothing. It has the answer by then, however busy it is.
	lingerSilent = 5 * time.Second
	// lingerBuffer is how much of such a body is read at a time, in bytes.
	lingerBuffer = 4 << 10
)

// halfCloser is a connection that can close its writing direction alone.
type halfCloser interface{ CloseWrite() error }

// Close closes the connection. When the client may still be sending a body, Close tells the client that nothing
// follows, and linger reads and drops the body for a while (RFC 9112 §9.6). If the connection were closed at once,
// the system would reset the connection, and the client would lose its answer. net/http only pauses, without reading,
// and not for every such client. A second Close does not wait.
//
// net/http closes connections that look idle to it when it shuts down. If Hits is writing an answer, Close lets the
// answer go out before.
func (c *connection) Close() error {
	if c.answering.CompareAndSwap(answering, closeAfter) {
		return nil
	}
	if half, ok := c.Conn.(halfCloser); ok && c.unread.Swap(false) && half.CloseWrite() == nil {
		c.lingering.Store(true)
		go c.linger()
		return nil
	}
	return c.drop()
}

// linger reads until the client has closed its side. No other goroutine reads any more.
func (c *connection) linger() {
	defer c.lingering.Store(false)
	defer c.drop()
	end, rest := time.Now().Add(lingerFor), make([]byte, lingerBuffer)
	for {
		deadline := time.Now().Add(lingerSilent)
		if deadline.After(end) {
			deadline = end
		}
		if c.Conn.SetReadDeadline(deadline) != nil {
			return
		}
		if _, err := c.Conn.Read(rest); err != nil {
			return
		}
	}
}

// drop closes the connection at once and makes room for another.
func (c *connection) drop() error {
	err := c.Conn.Close()
	c.breakOff()
	c.closed.Do(func() {
		c.all.remove(c)
		c.forget()
	})
	return err
}
