package server

import (
	"net"
	"net/http"
	"sync"
)

// Listener accepts a data listener's connections into their set.
type Listener struct {
	net.Listener
	all   *Connections
	done  chan struct{} // closed by Close
	close func() error
}

// Listen makes the connections that l accepts part of the set.
func (c *Connections) Listen(l net.Listener) *Listener {
	done := make(chan struct{})
	return &Listener{Listener: l, all: c, done: done, close: sync.OnceValue(func() error {
		close(done)
		return l.Close()
	})}
}

// Accept waits for a connection that may come in. After Close it says http.ErrServerClosed, so that a server which
// listens no more is not taken for one that failed, and goes on serving the connections it has.
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
		if conn, ok := l.all.admit(inner, l.done); ok {
			return conn, nil
		}
	}
}

// Close ends accepting; the connections stay. It may be called more than once.
func (l *Listener) Close() error { return l.close() }
