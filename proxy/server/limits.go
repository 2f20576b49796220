package server

import (
	"cmp"
	"time"
)

// Defaults of Limits.
const (
	DefaultReadHeaderTimeout = 10 * time.Second
	DefaultIdleTimeout       = 75 * time.Second
	DefaultBodyTimeout       = 30 * time.Second
	DefaultWriteTimeout      = 60 * time.Second
	DefaultMaxHeaderBytes    = 64 << 10
	DefaultMaxConnections    = 10_000
)

// Limits bound how much one client, and all clients together, can take from the data listener. No limit bounds how
// long an upload, a download or a stream may last: the timeouts start anew whenever the client makes progress. A zero
// field takes its default.
type Limits struct {
	// ReadHeaderTimeout is how long a client may take for a request's header; 0: 10s.
	ReadHeaderTimeout time.Duration
	// IdleTimeout is how long a connection is kept without a request; 0: 75s. A load balancer in front should have a
	// shorter timeout, so that it never sends a request on a connection that is being closed.
	IdleTimeout time.Duration
	// BodyTimeout is how long a request's body may stay without another byte while the proxy waits for it; 0: 30s.
	// Then the request is answered 408. gRPC calls are exempt, because their clients may be silent.
	BodyTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of its answer; 0: 60s. Then its connection, or its HTTP/2
	// stream, is closed.
	WriteTimeout time.Duration
	// MaxHeaderBytes bounds a request's header, line and fields; 0: 64 KiB. A larger header is answered 431.
	MaxHeaderBytes int
	// MaxConnections is how many connections may be open; 0: 10000. For one more connection, the set closes the
	// connections that have waited longest without a request, a 64th of MaxConnections at a time. When all are at
	// work, the new connection waits, and further ones wait in the system's queue. As many requests of HTTP/2, of
	// which a connection can have several, may be at work. A further request is answered 503.
	MaxConnections int
	// MaxPerClient is how many connections one address may have open. A further connection is closed at once. 0: any
	// number, which is right where clients come through a balancer or a NAT.
	MaxPerClient int
}

// withDefaults fills in the zero fields.
func (l Limits) withDefaults() Limits {
	l.ReadHeaderTimeout = cmp.Or(l.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, DefaultIdleTimeout)
	l.BodyTimeout = cmp.Or(l.BodyTimeout, DefaultBodyTimeout)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, DefaultWriteTimeout)
	l.MaxHeaderBytes = cmp.Or(l.MaxHeaderBytes, DefaultMaxHeaderBytes)
	l.MaxConnections = cmp.Or(l.MaxConnections, DefaultMaxConnections)
	return l
}
