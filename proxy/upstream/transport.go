package upstream

import (
	"math"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
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
	dial func() *carrier // makes a carrier that keeps connections
	age  time.Duration   // for how long a carrier is used; 0 or below: without limit
	now  atomic.Pointer[keptConns]
	// anew makes a new connection for each request. It is for requests that were lost with a kept connection, and for health checks, which
	// are to notice if connecting fails.
	anew *carrier
}

// carrier carries requests over one set of connections.
type carrier struct {
	*http.Transport
	direct *direct // for the requests that it can send; nil: all go through Transport
}

// CloseIdleConnections closes the connections that no request uses.
func (c *carrier) CloseIdleConnections() {
	c.Transport.CloseIdleConnections()
	if c.direct != nil {
		c.direct.idle.close()
	}
}

// keptConns are connections that are kept between requests, and replaced after some time. The upstream's name is resolved only when a connection is
// made: without replacement, a connection that is always in use would go to an old address for as long as something answers there. They are few
// enough to be replaced all at once.
type keptConns struct {
	*carrier
	until   time.Time
	retired atomic.Bool // others have taken their place
}

func newConnections(o Options, protocols *http.Protocols) *connections {
	dial := dialer(o)
	c := &connections{dial: func() *carrier { return newCarrier(o, dial, protocols) }, age: o.MaxConnectionAge}
	c.now.Store(c.begin())
	c.anew = c.dial()
	c.anew.DisableKeepAlives = true
	if c.anew.direct != nil {
		c.anew.direct.idle = nil
	}
	return c
}

// begin makes keptConns for the requests to come. Their age is varied at random, so that instances that started together do not replace theirs together.
func (c *connections) begin() *keptConns {
	k := &keptConns{carrier: c.dial()}
	if c.age > 0 {
		k.until = time.Now().Add(c.age - rand.N(c.age/4+1))
	}
	return k
}

// kept is the connections for a request that is sent now.
func (c *connections) kept() *keptConns {
	k := c.now.Load()
	if k.until.IsZero() || time.Now().Before(k.until) {
		return k
	}
	next := c.begin()
	if !c.now.CompareAndSwap(k, next) {
		return c.now.Load()
	}
	k.retired.Store(true)
	k.CloseIdleConnections()
	return next
}

// left is called at the end of each request on these connections, when its own has become idle. kept sets retired before it closes idle connections: a
// connection that becomes idle after that is closed here.
func (k *keptConns) left() {
	if k != nil && k.retired.Load() {
		k.CloseIdleConnections()
	}
}

// newCarrier returns connections to one upstream that add nothing and decode nothing. protocols decides between
// HTTP/1.1, HTTP/2 over TLS and HTTP/2 over cleartext.
func newCarrier(o Options, dial dialFunc, protocols *http.Protocols) *carrier {
	dial = counted(dial, protocols.UnencryptedHTTP2())
	c := &carrier{}
	if o.URL.Scheme == "http" && o.Dial == nil && tellsQuiet && !o.Indirect {
		c.direct = &direct{dial: dial, idle: newIdleConns()}
	}
	c.Transport = &http.Transport{
		Proxy:                  nil, // an environment variable must not reroute the upstream's traffic
		DialContext:            dial,
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    o.DialTimeout,
		DisableCompression:     true,        // adding Accept-Encoding changes what the upstream sends
		MaxIdleConnsPerHost:    math.MaxInt, // as many as there were requests at once in idleTimeout
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  expectContinue,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      protocols.HTTP2(),
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: writeStall},
	}
	return c
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
