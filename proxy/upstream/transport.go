package upstream

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	// idleTimeout is how long an unused connection is kept. It is shorter than what servers commonly have, so that the
	// upstream seldom closes a connection on which a request is about to go out.
	idleTimeout = 30 * time.Second
	// maxHeaderBytes bounds the response header. A larger one is an error of the upstream.
	maxHeaderBytes = 1 << 20

	keepAlive = 15 * time.Second
	// An HTTP/2 connection that has been silent this long is probed, and closed if the probe is not answered.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
	// A write on an HTTP/2 connection that makes no progress at all for this long has lost its peer.
	writeStall = 30 * time.Second
)

// connections are those to one upstream over the same protocols.
type connections struct {
	kept *http.Transport // between requests
	// anew makes one for each request: for a request that a kept one has lost, and for a health check, since connecting can
	// fail too.
	anew *http.Transport
}

func newConnections(o Options, protocols *http.Protocols) connections {
	c := connections{kept: newTransport(o, protocols)}
	c.anew = c.kept.Clone()
	c.anew.DisableKeepAlives = true
	return c
}

// newTransport returns connections to one upstream that add nothing and decode nothing. protocols decides between
// HTTP/1.1, HTTP/2 over TLS and HTTP/2 over cleartext.
func newTransport(o Options, protocols *http.Protocols) *http.Transport {
	dialer := &net.Dialer{Timeout: o.DialTimeout, KeepAlive: keepAlive}
	dial := dialer.DialContext
	if o.Dial != nil {
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
			defer cancel()
			return o.Dial(ctx, network, address)
		}
	}
	return &http.Transport{
		Proxy:                  nil, // an environment variable must not reroute the upstream's traffic
		DialContext:            counted(dial, protocols.UnencryptedHTTP2()),
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    o.DialTimeout,
		DisableCompression:     true, // adding Accept-Encoding changes what the upstream sends
		MaxIdleConns:           o.MaxInFlight,
		MaxIdleConnsPerHost:    o.MaxInFlight,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  expectContinue,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      protocols.HTTP2(),
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: writeStall},
	}
}

// expectContinue is how long the upstream may think about "Expect: 100-continue" before the body is sent regardless:
// RFC 9110 §10.1.1 forbids to wait for ever, since old servers never answer.
const expectContinue = time.Second

func protocols(set ...func(*http.Protocols, bool)) *http.Protocols {
	p := new(http.Protocols)
	for _, f := range set {
		f(p, true)
	}
	return p
}
