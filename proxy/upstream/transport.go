package upstream

import (
	"math"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// idleTimeout is how long an unused connection is kept. Servers commonly keep connections longer, so the upstream
	// seldom closes a connection on which a request is about to be sent.
	idleTimeout = 30 * time.Second
	// maxHeaderBytes bounds the response header. A larger header is an error of the upstream.
	maxHeaderBytes = 1 << 20

	keepAlive = 15 * time.Second
	// An HTTP/2 connection that has been silent for pingAfter gets a ping, and is closed without an answer within
	// pingTimeout.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
	// An HTTP/2 connection whose writes make no progress for writeStall has lost its peer.
	writeStall = 30 * time.Second
)

// connections are the connections to one upstream over the same protocols.
type connections struct {
	dial func() *carrier // returns a carrier that keeps connections
	age  time.Duration   // how long a carrier is used; 0 or below: for any time
	now  atomic.Pointer[keptConns]
	// anew makes a connection for each request. It serves a request that was lost with a kept connection, and health
	// checks, since connecting can fail too.
	anew *carrier
}

// carrier carries requests over one set of connections.
type carrier struct {
	*http.Transport
	direct *direct // for the requests that it can carry; nil: none
}

// CloseIdleConnections closes the connections that no request uses.
func (c *carrier) CloseIdleConnections() {
	c.Transport.CloseIdleConnections()
	if c.direct != nil {
		c.direct.idle.close()
	}
}

// keptConns are connections that are kept between requests, and that take no further request from until on. A name is
// looked up when a connection is made. A connection that is in use all the time would otherwise be used for as long
// as somebody holds the old address. The connections of an upstream are few enough to be made anew together.
type keptConns struct {
	*carrier
	until   time.Time
	retired atomic.Bool // newer connections have replaced these
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

// begin returns connections for the next requests. Their age is varied, so that instances that began together do not
// go on renewing together.
func (c *connections) begin() *keptConns {
	k := &keptConns{carrier: c.dial()}
	if c.age > 0 {
		k.until = time.Now().Add(c.age - rand.N(c.age/4+1))
	}
	return k
}

// kept returns the connections for a request that is sent at this time.
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

// left runs at the end of each request on these connections, when its connection is idle. kept sets retired before it
// closes the idle connections. A connection that becomes idle after that closing is closed here, because left reads
// retired.
func (k *keptConns) left() {
	if k != nil && k.retired.Load() {
		k.CloseIdleConnections()
	}
}

// newCarrier returns connections to one upstream that add nothing and decode nothing. protocols chooses HTTP/1.1,
// HTTP/2 over TLS or HTTP/2 over cleartext.
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
		MaxIdleConnsPerHost:    math.MaxInt, // as many as there were requests at once within idleTimeout
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  expectContinue,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      protocols.HTTP2(),
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: writeStall},
	}
	return c
}

// expectContinue is how long the upstream may leave "Expect: 100-continue" unanswered before the body is sent
// regardless: RFC 9110 §10.1.1 forbids waiting for ever, since old servers never answer.
const expectContinue = time.Second

func protocols(set ...func(*http.Protocols, bool)) *http.Protocols {
	p := new(http.Protocols)
	for _, f := range set {
		f(p, true)
	}
	return p
}
