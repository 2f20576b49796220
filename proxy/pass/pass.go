// Package pass sends requests through to an upstream and answers back, byte for byte. The package knows neither cache
// nor route.
//
//	Passer.Serve  one request, from the client's connection to the end of its answer   pass.go
//	  rewrite     the request that the upstream gets                                   rewrite.go
//	  upgrade     which protocols may be switched to, and the connection afterwards    upgrade.go
//	  endToEnd    the place at the upstream, the sending, the fields of the response   endtoend.go
//	  writer      the response that the client gets                                    writer.go
//	  body        the request's body, which may be longer under way than its answer    body.go
//
// httputil.ReverseProxy copies in both directions, with trailers, and serves an upgraded connection to its end. The
// rest of the package keeps ReverseProxy and net/http from changing a message that passes.
package pass

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"

	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// Passer sends requests through to upstreams, and the responses back. Messages pass byte for byte, except for the
// fields that belong to one connection (RFC 9110 §7.6.1) and the fields that name the way (Via, Forwarded,
// X-Forwarded-*). A Passer is safe for concurrent use, and serves any number of upstreams.
type Passer struct {
	log     *slog.Logger
	buffers httputil.BufferPool
}

// New returns a Passer. log gets upgraded connections that fail, and the complaints of ReverseProxy, at level Warn.
func New(log *slog.Logger) *Passer {
	return &Passer{log: log, buffers: &bufferPool{}}
}

// Options say how Serve passes one request through. Serve calls Sending, OnResponse and OnError at most once each, on
// its goroutine.
type Options struct {
	Upstream *upstream.Upstream // required
	Place    upstream.Place     // the place for which the request waits
	Target   httpcache.Target   // as forwarded
	// Trusted says that the peer's X-Forwarded-* and Forwarded are believed and extended instead of replaced.
	Trusted bool
	// Trailer gets the names of the trailer fields that the request announces, on Serve's goroutine. It is called
	// again with the fields that came, on the transport's goroutine at the end of the body. A field that Trailer
	// deletes is not sent on. Nil: all fields are sent on.
	Trailer func(http.Header)
	// Sending is called when the request has its place at the upstream and is about to be sent. Sending may add to
	// the header. The func that Sending returns, never nil, gets the head of the response, or the error. Nil:
	// nothing.
	Sending func(*http.Request) func(*http.Response, error)
	// OnResponse gets the head of the final response (the 101 of an upgrade too) before any of it reaches the client,
	// and may change the head. An error of OnResponse goes to OnError instead of the response. Nil: nothing.
	OnResponse func(*http.Response) error
	// OnError answers in place of the upstream. The error is OnResponse's, or one that upstream.Classify has a name
	// for: an *upstream.RequestBodyError when the client's body could not be read. When the client has left, a return
	// without an answer would make net/http send an empty 200: OnError panics with http.ErrAbortHandler instead.
	// Required.
	OnError func(http.ResponseWriter, error)
}

// Serve answers r with the upstream's response. When a response breaks off after its head went out, Serve panics with
// http.ErrAbortHandler. net/http then ends the connection or stream, so that the client never takes a part for the
// whole.
//
// r must not be a CONNECT: a gateway stands for its upstreams and has no tunnel to offer (RFC 9110 §9.3.6).
func (p *Passer) Serve(w http.ResponseWriter, r *http.Request, o Options) {
	pw := newWriter(w, r)
	defer pw.close()
	way := &endToEnd{options: o}
	defer way.close()
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(pr *httputil.ProxyRequest) { rewrite(pr, pw, upgradeWish(r), o) },
		Transport:     way,
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
			// A head without content must end its stream: gRPC takes a head for a trailer only when nothing follows.
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

// bufferPool lends buffers to ReverseProxy, which copies the bodies of responses through them.
type bufferPool struct{ pool sync.Pool }

const copyBufferSize = 32 << 10 // bytes, like io.Copy's

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[copyBufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, copyBufferSize)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[copyBufferSize]byte)(b)) }
