// Package pass sends requests through to an upstream and answers back, byte for byte. It knows neither cache nor route.
//
//	Passer.Serve  one request, from the client's connection to the end of its answer   pass.go
//	  rewrite     the request that the upstream gets                                   rewrite.go
//	  upgrade     which protocols may be switched to, and the connection afterwards    upgrade.go
//	  endToEnd    the place at the upstream, the sending, the fields of the response   endtoend.go
//	  writer      the response that the client gets                                    writer.go
//	  body        the request's body, which may be longer under way than its answer    body.go
//
// The copying in both directions, trailers, and the life of an upgraded connection are httputil.ReverseProxy's. The rest of
// the package keeps ReverseProxy and net/http from improving what passes.
package pass

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"

	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// Passer sends requests through to upstreams, and the responses back: in both directions as they come, byte for byte but for
// the fields that belong to one connection (RFC 9110 §7.6.1) and those that name the way (Via, Forwarded, X-Forwarded-*).
// A Passer is safe for concurrent use, and serves any number of upstreams.
type Passer struct {
	log     *slog.Logger
	buffers httputil.BufferPool
}

// New returns a Passer. log gets, at level Warn, upgraded connections that fail and what ReverseProxy complains about.
func New(log *slog.Logger) *Passer {
	return &Passer{log: log, buffers: &bufferPool{}}
}

// Options are what one request is passed through with. The funcs are called at most once each, on Serve's goroutine.
type Options struct {
	Upstream *upstream.Upstream // required
	Place    upstream.Place     // for which the request waits
	Target   httpcache.Target   // as forwarded
	// Trusted says that the peer's X-Forwarded-* and Forwarded are believed and extended instead of replaced.
	Trusted bool
	// Trailer is called with the names of the trailer fields that the request announces, and with those that came; what it deletes
	// is not sent on. Nil: all are.
	Trailer func(http.Header)
	// Sending is called when the request has its place at the upstream and is about to be sent; it may add to the header. The
	// func that Sending returns, never nil, gets the head of the response, or the error. Nil: nothing.
	Sending func(*http.Request) func(*http.Response, error)
	// OnResponse gets the head of the final response (the 101 of an upgrade too) before any of it reaches the client,
	// and may change it. Its error goes to OnError instead of the response. Nil: nothing.
	OnResponse func(*http.Response) error
	// OnError answers in place of the upstream. The error is OnResponse's, or one that upstream.Classify has a name for: an
	// *upstream.RequestBodyError where the client's body could not be read. When the client has left there is nobody to answer,
	// and a return without an answer would be an empty 200: OnError panics with http.ErrAbortHandler instead. Required.
	OnError func(http.ResponseWriter, error)
}

// Serve answers r with what the upstream says. It panics with http.ErrAbortHandler, as net/http wishes, when a response
// breaks off after its head went out, so that the client never takes a part for the whole.
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

// bufferPool lends the buffers through which response bodies are copied.
type bufferPool struct{ pool sync.Pool }

const copyBufferSize = 32 << 10 // bytes, as io.Copy has it

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[copyBufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, copyBufferSize)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[copyBufferSize]byte)(b)) }
