package server

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// A client that is connected by HTTP/2 and silent this long is probed, and its connection closed if it does not answer.
const (
	clientPingAfter   = 30 * time.Second
	clientPingTimeout = 15 * time.Second
)

// uploadBuffer is how much of its uploads an HTTP/2 client may send ahead of who takes them, in bytes; it is kept for each connection. A
// client at a distance of 50 ms uploads 5 MiB a second with it.
const uploadBuffer = 256 << 10

// Options describe the data listener's server. With Connections and Log alone it serves HTTP/1.1 in cleartext.
type Options struct {
	// Certificate makes it a TLS server, with HTTP/2 beside HTTP/1.1; nil: cleartext. It is for Server.ServeTLS with
	// empty file names.
	Certificate *Certificate
	// H2C adds HTTP/2 in cleartext, with prior knowledge (RFC 9113 §3.3). Upgrade: h2c is not offered.
	H2C bool
	// Connections hold the limits, and watch the requests on what their Listen accepts.
	Connections *Connections
	// Rejected is called for each request that is answered with an error before the handler gets it: malformed ones (those that net/http
	// rejects itself only over HTTP/1.1), and those that there is no room for. It must be safe for concurrent use and not block. May be nil.
	Rejected func(client netip.Addr, status int)
	// Hits answers requests before net/http gets them, over HTTP/1.1 in cleartext; it is not used with H2C or a Certificate. May be nil.
	Hits Hits
	// Log gets what net/http logs about clients, at level Debug, since any client can cause such lines. Required.
	Log *slog.Logger
}

// New returns the server of the data listener. Its Serve must be called with a listener of o.Connections.Listen. There is no limit for a whole request
// or response: uploads, event streams and upgraded connections last as long as both ends wish and the client makes progress.
func New(h http.Handler, o Options) *http.Server {
	if o.Rejected != nil {
		o.Connections.rejected = o.Rejected
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
