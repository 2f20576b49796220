package upstream

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// countedConn is a connection to an upstream, below TLS, that counts the bytes written to it, and knows whether the transport is waiting in a Read.
type countedConn struct {
	net.Conn
	raw     syscall.RawConn // of the socket; nil: there is none to ask. Does not change
	peer    string          // the address that it leads to; does not change
	shared  bool            // several requests use it at once; does not change
	written atomic.Int64    // bytes; counted by the transport's writer, compared by trips
	refused atomic.Bool     // every Write fails; set by a trip that must not use the connection, read by the transport's writer
	spent   atomic.Bool     // no further request may use it; set by the trip that has it, read by the next
	ended   atomic.Bool     // a Read or a Write has failed; set before the transport tells its requests of it

	// Used by quiet, which only the request calls that takes the connection.
	peek   func(fd uintptr)
	peeked error
	one    [1]byte

	reading atomic.Bool   // the transport's reader waits for bytes
	closed  atomic.Bool   // the transport has closed it
	changed chan struct{} // receives when reading or closed is set while awaited is; has room for one
	awaited atomic.Bool   // a trip is in awaitReader
}

// refuse makes every further Write fail before it has written anything.
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

// readerTime is how long the transport's reader has to find out what there is to read.
const readerTime = time.Second

// awaitReader waits, before a request takes a connection that has carried others, until the transport's reader is waiting for bytes, and so has read
// everything that came, or has closed the connection. ready is false if neither happens within readerTime.
//
// An upstream may send more than its answer: content after the head of an answer to HEAD or of a 304, or more content than it announced. The
// transport makes a connection available again as soon as the answer is complete, and its reader, on another goroutine, looks for further bytes only
// afterwards. A request that takes the connection in between would get those bytes as its own answer, and its answer would go to the next request:
// one client would get the answer of another. While awaitReader waits, no request is on the connection, so that the reader closes it if it finds
// bytes.
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

// peerOf is the address to which a connection leads; empty: it does not say.
func peerOf(c net.Conn) string {
	if to := c.RemoteAddr(); to != nil {
		return to.String()
	}
	return ""
}

// counted wraps the connections of a dialer in countedConns. shared says that they are HTTP/2 from the start.
func counted(dial dialFunc, shared bool) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &countedConn{Conn: conn, shared: shared, peer: peerOf(conn), changed: make(chan struct{}, 1)}
		if socket, ok := conn.(syscall.Conn); ok {
			c.raw, _ = socket.SyscallConn() // without it, quiet reports true
		}
		return c, nil
	}
}
