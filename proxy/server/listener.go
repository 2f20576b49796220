package server

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// Listener accepts the connections of a data listener into their set.
type Listener struct {
	net.Listener
	all     *Connections
	proxies []netip.Prefix
	done    chan struct{} // closed by Close
	close   func() error
}

// Listen makes the connections that l accepts part of the set. A peer among the proxies must introduce the client of
// each connection by a header of the PROXY protocol, version 1 or 2. The set believes the header: its addresses are
// those of the connection, in Request.RemoteAddr as in the limit for each client. Other peers are clients themselves,
// and such a header from them is malformed HTTP.
func (c *Connections) Listen(l net.Listener, proxies ...netip.Prefix) *Listener {
	done := make(chan struct{})
	return &Listener{Listener: l, all: c, proxies: proxies, done: done, close: sync.OnceValue(func() error {
		close(done)
		return l.Close()
	})}
}

// Accept waits for a connection that the set admits. After Close, Accept returns http.ErrServerClosed, so that the
// server goes on serving its connections instead of failing.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			select {
			case <-l.done:
				return nil, http.ErrServerClosed
			default:
				return nil, err
			}
		}
		if conn, ok := l.all.admit(inner, l.proxies, l.done); ok {
			return conn, nil
		}
	}
}

// Close ends accepting. The connections stay. Close may be called more than once.
func (l *Listener) Close() error { return l.close() }
