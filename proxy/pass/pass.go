// Package pass sends requests through to an upstream and answers back, byte for byte. It knows neither cache nor route.
package pass

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// Passer sends requests through to an origin and answers back: in both directions as they come, byte for byte but for
// the fields that belong to one connection and those that name the way (Via, Forwarded, X-Forwarded-*).
type Passer struct {
	log     *slog.Logger
	buffers httputil.BufferPool
}

// Options are what one request is passed through with.
type Options struct {
	Upstream *upstream.Origin
	Place    upstream.Place
	Target   policy.Target // as forwarded
	// Trusted says that the peer's X-Forwarded-* and Forwarded are believed and extended instead of replaced.
	Trusted bool
	// Sending is called when the request has its place at the origin and is about to be sent; it may add to the header. The
	// func that it returns gets the head of the answer, or the error. Nil: nothing.
	Sending func(*http.Request) func(*http.Response, error)
	// OnResponse gets the head of the final response (the 101 of an upgrade too) before any of it reaches the client,
	// and may change it. Its error goes to OnError instead of the response. Nil: nothing.
	OnResponse func(*http.Response) error
	// OnError answers in place of the origin; upstream.Classify names the error. Required.
	OnError func(http.ResponseWriter, error)
}

func New(log *slog.Logger) *Passer {
	return &Passer{log: log, buffers: &bufferPool{}}
}

// Serve answers r with what the origin says. It panics with http.ErrAbortHandler, as net/http wishes, when a response
// breaks off after its head went out, so that the client never takes a part for the whole.
func (p *Passer) Serve(w http.ResponseWriter, r *http.Request, o Options) {
	pw := newPassWriter(w, r)
	defer pw.close()
	toOrigin := &endToEnd{o: o}
	defer toOrigin.close()
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(pr *httputil.ProxyRequest) { rewrite(pr, pw, upgradeWish(r), o) },
		Transport:     toOrigin,
		FlushInterval: -1,
		BufferPool:    p.buffers,
		ErrorLog:      slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			if pw.hijacked {
				p.log.Warn("upgraded connection failed", "upstream", o.Upstream.Name(), "error", err)
				return
			}
			o.OnError(pw, err)
		},
	}
	proxy.ModifyResponse = func(res *http.Response) error {
		pw.unmeasured = res.ContentLength < 0
		if res.ContentLength == 0 {
			// The head is all there is and must say so: gRPC takes it for a trailer only when nothing follows.
			proxy.FlushInterval = 0
		}
		if o.OnResponse == nil {
			return nil
		}
		return o.OnResponse(res)
	}
	proxy.ServeHTTP(pw, withoutUpgrade(r))
	pw.finish()
}

// rewrite makes the outgoing request from the incoming one. It starts over with the client's header, since ReverseProxy
// lets Connection remove any field, and undoes ReverseProxy's cleaning of the query.
func rewrite(pr *httputil.ProxyRequest, pw *passWriter, upgrade string, o Options) {
	out, in := pr.Out, pw.request // whose trailer is there at the end of its body
	trailers := out.Header["Te"]  // "trailers" or nothing by now
	out.Header = in.Header.Clone()
	policy.RemoveHopByHop(out.Header)
	if trailers != nil {
		out.Header["Te"] = trailers
	}
	if upgrade != "" {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", upgrade)
	}
	policy.Forward(out.Header, server.PeerAddr(in), o.Target.Scheme, o.Target.Host, o.Trusted)
	policy.AppendVia(out.Header, in.ProtoMajor, in.ProtoMinor)

	out.Host = o.Upstream.Host(o.Target.Host)
	upstream.SetTarget(out, o.Upstream.URL(), o.Target)
	if out.Body != nil {
		out.Body = newPassBody(pw, in, out)
	}
}

// upgradeWish is the protocols that the client wishes to switch to and may. A switch to HTTP itself would take all that
// follows past the proxy's rules, and an HTTP/1.0 request has no Upgrade (RFC 9110 §7.8), nor has one of HTTP/2.
func upgradeWish(r *http.Request) string {
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "Upgrade") {
		return ""
	}
	offered := slices.DeleteFunc(upstream.UpgradeProtocols(r.Header["Upgrade"]), func(protocol string) bool {
		name, version, versioned := strings.Cut(protocol, "/")
		switch strings.ToLower(name) {
		case "h2c", "h2", "http", "tls":
			return true
		}
		return !httpguts.ValidHeaderFieldName(name) || versioned && !httpguts.ValidHeaderFieldName(version) // both are tokens
	})
	return strings.Join(offered, ", ")
}

// withoutUpgrade hides the wish to upgrade from ReverseProxy, which takes several protocols for one and fails requests for
// names that it does not like.
func withoutUpgrade(r *http.Request) *http.Request {
	if len(r.Header["Upgrade"]) == 0 {
		return r
	}
	plain := *r
	plain.Header = r.Header.Clone()
	plain.Header.Del("Upgrade")
	return &plain
}

// endToEnd is one request's way to the origin. It removes the fields of the connection from the response before ReverseProxy
// does, which would let Connection remove any field, and gives back in one place what the request holds of the origin:
// ReverseProxy leaves a body open when it panics or will not make an upgrade.
type endToEnd struct {
	o    Options
	slot *upstream.Slot // nil: none yet
	body io.Closer      // of the response; nil: none
}

func (e *endToEnd) RoundTrip(req *http.Request) (*http.Response, error) {
	slot, err := e.o.Upstream.Acquire(req.Context(), e.o.Place)
	if err != nil {
		if req.Body != nil {
			req.Body.Close() // a RoundTripper owns the body; its error cannot matter any more
		}
		return nil, fmt.Errorf("send to upstream %s: %w", e.o.Upstream.Name(), err)
	}
	e.slot = slot
	sent := func(*http.Response, error) {}
	if e.o.Sending != nil {
		sent = e.o.Sending(req)
	}
	res, err := e.o.Upstream.Send(req, slot)
	if err == nil {
		e.body = res.Body
	}
	sent(res, err)
	switch {
	case err != nil:
	case res.StatusCode == http.StatusSwitchingProtocols:
		// Of the protocols offered ReverseProxy expects all. The transport may still read the header that was sent.
		req.Header = req.Header.Clone()
		req.Header.Set("Upgrade", res.Header.Get("Upgrade"))
	default:
		policy.RemoveHopByHop(res.Header)
	}
	return res, err
}

// close ends what ReverseProxy may have left open. Where all went well it changes nothing.
func (e *endToEnd) close() {
	if e.body != nil {
		e.body.Close() // it was read as far as anybody wanted: an error cannot matter any more
	}
	if e.slot != nil {
		e.slot.Release()
	}
}

// bufferPool lends the buffers through which response bodies are copied.
type bufferPool struct{ pool sync.Pool }

const copyBufferSize = 32 << 10

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[copyBufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, copyBufferSize)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[copyBufferSize]byte)(b)) }
