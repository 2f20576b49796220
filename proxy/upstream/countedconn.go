package upstream

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// countedConn is a connection that knows how many bytes were written to it, TLS included, and whether its reader has
// read all bytes that came.
type countedConn struct {
	net.Conn
	raw     syscall.RawConn // of the socket; nil: the connection has no socket. Does not change
	peer    string          // the address of the other end; does not change
	shared  bool            // several requests use the connection at once; does not change
	written atomic.Int64    // bytes; counted by the transport's writer, compared by trips
	refused atomic.Bool     // set by a trip that must not use the connection; read by the transport's writer
	spent   atomic.Bool     // no further request may use the connection; set by its trip, read by the next
	ended   atomic.Bool     // a read or a write has failed; set before the transport tells its requests

	// The next three fields belong to quiet. The request that takes the connection calls quiet.
	peek   func(fd uintptr)
	peeked error
	one    [1]byte

	reading atomic.Bool   // the transport's reader waits for bytes
	closed  atomic.Bool   // the transport has closed the connection
	changed chan struct{} // gets a token at a change of reading or closed while awaited; has room for one
	awaited atomic.Bool   // a trip is in awaitReader
}

// refuse makes every further Write fail before a byte is written.
func (c *countedConn) refuse() { c.refused.Store(true) }

func (c *countedConn) Read(p []byte) (int, error) {
	c.reading.Store(true)
	c.tell()
	n, err := c.Conn.Read(p)
	if err != nil {
		c.ended.Store(true)
	}
	c.reading.Store(false)
	return n, err
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.closed.Store(true)
	c.tell()
	return c.Conn.Close()
}

func (c *countedConn) tell() {
	if !c.awaited.Load() {
		return
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// readerTime is how long awaitReader waits for the transport's reader.
const readerTime = time.Second

// awaitReader waits, before a request takes a connection that has carried others, until the transport's reader waits
// for bytes, and so has read all that came, or has closed the connection. False: the reader did neither within
// readerTime.
//
// An upstream may send more than its answer: content after the head of an answer to HEAD, or of a 304, or more
// content than announced. The transport gives a connection back as soon as the answer is whole. Only afterwards, on
// another goroutine, the transport's reader looks at the bytes that follow. A request that took the connection in
// between would get these bytes for its own answer, and the next request would get that request's answer. The answers
// of one client would go to another. While awaitReader waits, no request is under way on the connection, so the
// reader closes the connection when it finds bytes.
func (c *countedConn) awaitReader() (ready bool) {
	if c.reading.Load() || c.closed.Load() {
		return true
	}
	c.awaited.Store(true)
	defer c.awaited.Store(false)
	patience := time.NewTimer(readerTime)
	defer patience.Stop()
	for !c.reading.Load() && !c.closed.Load() {
		select {
		case <-c.changed:
		case <-patience.C:
			return false
		}
	}
	return true
}

func (c *countedConn) Write(p []byte) (int, error) {
	if c.refused.Load() {
		return 0, errLost
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		c.ended.Store(true)
	}
	c.written.Add(int64(n))
	return n, err
}

// CloseWrite tells the upstream that nothing follows, and leaves the other direction open.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// peerOf returns the address to which a connection leads; empty: unknown.
func peerOf(c net.Conn) string {
	if to := c.RemoteAddr(); to != nil {
		return to.String()
	}
	return ""
}

// counted wraps the connections of a dialer in countedConn. shared says that they are HTTP/2 from the start.
func counted(dial dialFunc, shared bool) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &countedConn{Conn: conn, shared: shared, peer: peerOf(conn), changed: make(chan struct{}, 1)}
		if socket, ok := conn.(syscall.Conn); ok {
			c.raw, _ = socket.SyscallConn() // without raw, quiet reports true
		}
		return c, nil
	}
}
