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

// Limits bound what one client, and all of them together, can take from the data listener. None of them bounds how long
// an upload, a download or a stream may last: the timeouts start anew whenever the client makes progress. A zero field
// takes its default.
type Limits struct {
	// ReadHeaderTimeout is how long a client may take for a request's header; 0: 10s.
	ReadHeaderTimeout time.Duration
	// IdleTimeout is how long a connection is kept without a request; 0: 75s. A load balancer in front should have a
	// shorter one, so that it never sends a request on a connection that is being closed.
	IdleTimeout time.Duration
	// BodyTimeout is how long a request's body may stay without another byte while the proxy waits for one; then it is
	// answered 408. gRPC calls are exempt, whose clients may be silent; 0: 30s.
	BodyTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of what is written to it; then its connection, or its HTTP/2
	// stream, is closed; 0: 60s.
	WriteTimeout time.Duration
	// MaxHeaderBytes bounds a request's header, line and fields; 0: 64 KiB. A larger one is answered 431.
	MaxHeaderBytes int
	// MaxConnections is how many connections may be open. For one more those give way that have waited longest without a request, a 64th of
	// all; where all are at work it waits, and those behind it in the system's queue. As many requests of
	// HTTP/2, of which a connection can have several, may be at work; one more is answered 503; 0: 10000.
	MaxConnections int
	// MaxPerClient is how many connections one address may have open; one more is closed at once. 0: as many as it likes,
	// which is right where clients come through a balancer or a NAT.
	MaxPerClient int
}

// withDefaults fills in what is zero.
func (l Limits) withDefaults() Limits {
	l.ReadHeaderTimeout = cmp.Or(l.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, DefaultIdleTimeout)
	l.BodyTimeout = cmp.Or(l.BodyTimeout, DefaultBodyTimeout)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, DefaultWriteTimeout)
	l.MaxHeaderBytes = cmp.Or(l.MaxHeaderBytes, DefaultMaxHeaderBytes)
	l.MaxConnections = cmp.Or(l.MaxConnections, DefaultMaxConnections)
	return l
}
