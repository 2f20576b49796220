package server

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// A client that is connected by HTTP/2 and silent for clientPingAfter gets a ping. Without an answer within
// clientPingTimeout its connection is closed.
const (
	clientPingAfter   = 30 * time.Second
	clientPingTimeout = 15 * time.Second
)

// uploadBuffer is how much of its uploads an HTTP/2 client may send before a reader takes them, in bytes. Each
// connection has such a buffer. A client at a distance of 50 ms uploads 5 MiB a second with it.
const uploadBuffer = 256 << 10

// Options describe the data listener's server. With Connections and Log alone it serves HTTP/1.1 in cleartext.
type Options struct {
	// Certificate makes the server a TLS server, with HTTP/2 beside HTTP/1.1; nil: cleartext. Call Server.ServeTLS
	// with empty file names then.
	Certificate *Certificate
	// H2C adds HTTP/2 in cleartext, with prior knowledge (RFC 9113 §3.3). Upgrade: h2c is not offered.
	H2C bool
	// Connections is the set with the limits. It watches the requests on the connections of its Listen.
	Connections *Connections
	// Rejected gets each request that is answered with an error before the handler gets it: input that net/http
	// cannot take for a request, over HTTP/1.1 only, and requests for which the server has no room. Rejected is
	// called concurrently and must not block. Nil: nothing.
	Rejected func(client netip.Addr, status int)
	// Misintroduced gets each connection whose client is introduced wrongly, and what is wrong: with proxy set, the
	// peer had to introduce the client and did not, and the connection is closed; else the peer began with an
	// introduction that nobody believes. Checks that close their connection without a byte are not told. Misintroduced
	// is called concurrently and must not block. Nil: nothing.
	Misintroduced func(peer netip.Addr, proxy bool, wrong string)
	// Hits answers requests before net/http gets them, over HTTP/1.1 in cleartext. With H2C or a Certificate the
	// server does not use Hits. Nil: nothing.
	Hits Hits
	// Log gets net/http's messages about broken clients, at level Debug, since any client can cause them.
	Log *slog.Logger
}

// New returns the server of the data listener. Serve it listeners that the set's Listen has made. No timeout bounds a
// whole request or response: uploads, event streams and upgraded connections last as long as both ends wish and the
// client makes progress.
func New(h http.Handler, o Options) *http.Server {
	if o.Rejected != nil {
		o.Connections.rejected = o.Rejected
	}
	if o.Misintroduced != nil {
		o.Connections.misintroduced = o.Misintroduced
	}
	limits := o.Connections.limits
	s := &http.Server{
		Handler:                      o.Connections.guard(h),
		ConnContext:                  withConnection,
		ConnState:                    o.Connections.heading,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the upstream's to answer
		ReadHeaderTimeout:            limits.ReadHeaderTimeout,
		IdleTimeout:                  limits.IdleTimeout,
		MaxHeaderBytes:               limits.MaxHeaderBytes,
		ErrorLog:                     slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		Protocols:                    new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: clientPingAfter, PingTimeout: clientPingTimeout,
			MaxReceiveBufferPerConnection: uploadBuffer, MaxReceiveBufferPerStream: uploadBuffer,
		},
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(o.H2C)
	if o.Hits != nil && o.Certificate == nil && !o.H2C {
		o.Connections.hits = o.Hits
		s.RegisterOnShutdown(o.Connections.endUnseen)
	}
	if o.Certificate != nil {
		s.Protocols.SetHTTP2(true)
		s.TLSConfig = o.Certificate.serverConfig()
	}
	return s
}
