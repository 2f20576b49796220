package server

import "time"

const (
	// lingerFor is how long a client may go on sending bytes that are thrown away.
	lingerFor = 30 * time.Second
	// lingerSilent is how long it may pause. By then it has received the answer, however busy it is.
	lingerSilent = 5 * time.Second
	// lingerBuffer is how much of it is read at a time, in bytes.
	lingerBuffer = 4 << 10
)

// halfCloser is a connection of which one direction can be closed.
type halfCloser interface{ CloseWrite() error }

// Close closes the connection. A client that may still be sending a body is told that nothing follows, and what it sends is
// thrown away for a while (RFC 9112 §9.6): to close at once would have the system reset the connection, and the client lose
// its answer. net/http only pauses, without reading, and not for every such client. A second Close does not wait.
//
// At shutdown, net/http closes connections that it takes to be idle. If Hits is writing an answer, the connection is closed after that answer.
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

// linger reads until the client has closed its side. Nothing else reads any more.
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

// drop closes the connection at once, and takes it out of the set. It may be called more than once.
func (c *connection) drop() error {
	err := c.Conn.Close()
	c.breakOff()
	c.closed.Do(func() {
		c.all.remove(c)
		c.forget()
	})
	return err
}
