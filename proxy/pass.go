package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"

	"cacheproxy/policy"
	"cacheproxy/proxy/origin"
)

// passer sends requests through to an origin and answers back: in both directions as they come, byte for byte but for
// the fields that belong to one connection and those that name the way (Via, Forwarded, X-Forwarded-*).
type passer struct {
	log     *slog.Logger
	buffers httputil.BufferPool
}

// passOptions are what one request is passed through with.
type passOptions struct {
	origin *origin.Origin
	place  origin.Place
	target policy.Target // as forwarded
	// trusted says that the peer's X-Forwarded-* and Forwarded are believed and extended instead of replaced.
	trusted bool
	// sending is called when the request has its place at the origin and is about to be sent; it may add to the header. The
	// func that it returns gets the head of the answer, or the error. Nil: nothing.
	sending func(*http.Request) func(*http.Response, error)
	// onResponse gets the head of the final response (the 101 of an upgrade too) before any of it reaches the client,
	// and may change it. Its error goes to onError instead of the response. Nil: nothing.
	onResponse func(*http.Response) error
	// onError answers in place of the origin; origin.Classify names the error. Nil: answerError.
	onError func(http.ResponseWriter, error)
}

func newPasser(log *slog.Logger) *passer {
	return &passer{log: log, buffers: &bufferPool{}}
}

// serve answers r with what the origin says. It panics with http.ErrAbortHandler, as net/http wishes, when a response
// breaks off after its head went out, so that the client never takes a part for the whole.
func (p *passer) serve(w http.ResponseWriter, r *http.Request, o passOptions) {
	if r.Method == http.MethodConnect {
		refuseConnect(w)
		return
	}
	pw := newPassWriter(w, r)
	defer pw.close()
	onError := o.onError
	if onError == nil {
		onError = func(w http.ResponseWriter, err error) { answerError(w, o.origin, err) }
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(pr *httputil.ProxyRequest) { rewrite(pr, pw, o) },
		Transport:     endToEnd{o},
		FlushInterval: -1,
		BufferPool:    p.buffers,
		ErrorLog:      slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			if pw.hijacked {
				p.log.Warn("upgraded connection failed", "upstream", o.origin.Name(), "error", err)
				return
			}
			onError(pw, err)
		},
	}
	proxy.ModifyResponse = func(res *http.Response) error {
		pw.unmeasured = res.ContentLength < 0
		if res.ContentLength == 0 {
			// The head is all there is and must say so: gRPC takes it for a trailer only when nothing follows.
			proxy.FlushInterval = 0
		}
		if o.onResponse == nil {
			return nil
		}
		return o.onResponse(res)
	}
	proxy.ServeHTTP(pw, r)
	pw.finish()
}

// rewrite makes the outgoing request from the incoming one. It starts over with the client's header, since ReverseProxy
// lets Connection remove any field, and undoes ReverseProxy's cleaning of the query.
func rewrite(pr *httputil.ProxyRequest, pw *passWriter, o passOptions) {
	out, in := pr.Out, pr.In
	upgrade, trailers := upgradeWish(in, out), out.Header["Te"] // the latter "trailers" or nothing by now
	out.Header = in.Header.Clone()
	policy.RemoveHopByHop(out.Header)
	if trailers != nil {
		out.Header["Te"] = trailers
	}
	if upgrade != "" {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", upgrade)
	}
	policy.Forward(out.Header, peerAddr(in), o.target.Scheme, o.target.Host, o.trusted)
	policy.AppendVia(out.Header, in.ProtoMajor, in.ProtoMinor)

	out.Host = o.origin.Host(o.target.Host)
	origin.SetTarget(out, o.origin.URL(), o.target)
	if out.Body != nil {
		out.Body = newPassBody(pw, in, out)
	}
}

// upgradeWish is the protocol that the client wishes to switch to and may. A switch to HTTP itself would take all that
// follows past the proxy's rules, and a HTTP/1.0 request has no Upgrade (RFC 9110 §7.8).
func upgradeWish(in, out *http.Request) string {
	wish := out.Header.Get("Upgrade")
	if wish == "" || !in.ProtoAtLeast(1, 1) {
		return ""
	}
	for token := range strings.SplitSeq(strings.ToLower(wish), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(token), "/")
		if name == "h2c" || name == "h2" || name == "http" || name == "tls" {
			return ""
		}
	}
	return wish
}

// peerAddr is the address of the connection's other end; the zero Addr when it is not an IP address.
func peerAddr(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

// endToEnd removes the fields of the connection from an origin's responses before ReverseProxy does, which would let
// Connection remove any field.
type endToEnd struct{ o passOptions }

func (e endToEnd) RoundTrip(req *http.Request) (*http.Response, error) {
	slot, err := e.o.origin.Acquire(req.Context(), e.o.place)
	if err != nil {
		if req.Body != nil {
			req.Body.Close() // a RoundTripper owns the body; its error cannot matter any more
		}
		return nil, fmt.Errorf("send to upstream %s: %w", e.o.origin.Name(), err)
	}
	sent := func(*http.Response, error) {}
	if e.o.sending != nil {
		sent = e.o.sending(req)
	}
	res, err := e.o.origin.Send(req, slot)
	sent(res, err)
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		policy.RemoveHopByHop(res.Header)
	}
	return res, err
}

// refuseConnect answers CONNECT: a gateway stands for its origins and has no tunnel to offer (RFC 9110 §9.3.6).
func refuseConnect(w http.ResponseWriter) {
	w.Header()["Allow"] = []string{""} // no method is allowed on an authority (RFC 9110 §10.2.1)
	http.Error(w, "CONNECT is not offered: this is a gateway to its own upstreams, send them requests directly", http.StatusMethodNotAllowed)
}

// answerError answers for an origin that did not. It says nothing of the origin's whereabouts; the log does.
func answerError(w http.ResponseWriter, o *origin.Origin, err error) {
	reason := origin.Classify(err)
	status, text := origin.Status(reason), "the upstream could not be reached or broke off"
	switch {
	case errors.As(err, new(*origin.RequestBodyError)):
		status, text = bodyFailure(err)
	case reason == policy.ClientGone:
		panic(http.ErrAbortHandler) // returning would send an empty 200
	case reason == policy.OriginTimeout:
		text = "the upstream did not answer in time"
	case status == http.StatusServiceUnavailable:
		setRetryAfter(w.Header(), o.RetryAfter())
		text = "the upstream has no place for this request, try again"
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, identified(text, w.Header()), status)
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
