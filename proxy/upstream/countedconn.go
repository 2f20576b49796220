package upstream

import (
	"context"
	"net"
	"sync/atomic"
)

// countedConn is a connection that knows how many bytes were written to it, TLS included.
type countedConn struct {
	net.Conn
	shared  bool         // by many requests at once; does not change
	written atomic.Int64 // bytes; counted by the transport's writer, compared by trips
	refused atomic.Bool  // set by a trip on its way to a connection that it must not use; asked by the transport's writer
}

// refuse makes every further Write fail before it has written anything.
func (c *countedConn) refuse() { c.refused.Store(true) }

func (c *countedConn) Write(p []byte) (int, error) {
	if c.refused.Load() {
		return 0, errLost
	}
	n, err := c.Conn.Write(p)
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

// counted makes the connections of a dialer count. shared says that they are HTTP/2 from the start.
func counted(dial dialFunc, shared bool) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn, shared: shared}, nil
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)
