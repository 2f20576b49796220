package pass

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"

	"cacheproxy/lockorder"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
)

// writer is the ResponseWriter of a response that passes through. It keeps net/http from adding to the response, and from reusing a connection whose
// request body was not read, and orders the heads that two goroutines send.
//
// Serve's goroutine sends the final head, and the body. The transport's goroutine sends the upstream's informational heads, which ReverseProxy stops
// at the upstream's final head, and the 100 that a client waits for (invite), which nothing stops: the transport may begin to read the request's body
// when the response is already being sent, or when Serve has returned. A 100 that is written to inner then would land inside the response, or race
// with net/http preparing the connection for the next request. So every head is sent under mu, and none after final is set.
type writer struct {
	inner   http.ResponseWriter
	control *http.ResponseController
	request *http.Request // the client's

	// The rest down to mu belongs to Serve's goroutine.

	body     *body // nil: none is sent on. Set before the request is sent.
	hijacked bool
	// unmeasured says that the final response has no Content-Length. Set before its head goes out.
	unmeasured bool

	mu        lockorder.Mutex[lockorder.PassWriter] // guards what is below, and inner until the final head
	header    http.Header                           // of the next head; inner's own is touched only with the head
	final     bool                                  // no head may be sent any more: the final one is out, or Serve is over
	continued bool                                  // a 100 is out
}

func newWriter(w http.ResponseWriter, r *http.Request) *writer {
	return &writer{inner: w, control: http.NewResponseController(w), request: r, header: make(http.Header)}
}

// Header returns the fields of the next head, after the final one those of the trailer.
func (w *writer) Header() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.final {
		return w.inner.Header()
	}
	return w.header
}

// WriteHeader sends an informational or the final head. Informational ones arrive on the transport's goroutine.
func (w *writer) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.final {
		return
	}
	if status < 200 {
		httpcache.RemoveHopByHop(w.header)
		w.inform(status, w.header)
		return
	}
	w.final = true
	h := w.inner.Header()
	maps.Copy(h, w.header)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // no guess
	}
	if w.unreadBody() {
		h.Set("Connection", "close") // what is left of the body must not be taken for the next request (RFC 9112 §9.3)
	}
	w.inner.WriteHeader(status)
	if w.unmeasured {
		// Without the flush, net/http would add a Content-Length if the body turned out to be short, or empty.
		w.control.Flush() //nolint:errcheck // a lost client shows at the next write
	}
}

// inform sends an informational head, which HTTP/1.0 does not know (RFC 9110 §15.2). A 101 is none, though over HTTP/2, where
// it has no meaning (RFC 9113 §8.6), it comes as one: to net/http it is the last head there is. The caller holds mu.
func (w *writer) inform(status int, fields http.Header) {
	if !w.request.ProtoAtLeast(1, 1) || status == http.StatusSwitchingProtocols || status == http.StatusContinue && w.continued {
		return
	}
	w.continued = w.continued || status == http.StatusContinue
	h := w.inner.Header()
	before := maps.Clone(h)
	clear(h)
	maps.Copy(h, fields)
	w.inner.WriteHeader(status)
	clear(h)
	maps.Copy(h, before)
}

// invite sends the 100 for which the client waits before it sends its body (RFC 9110 §10.1.1). The transport's goroutine calls it.
func (w *writer) invite() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.final {
		w.inform(http.StatusContinue, nil)
	}
}

// Write sends a part of the body.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.inner.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.inner }

// Hijack hands over the connection of an upgrade, with what the client has sent ahead of the answer: ReverseProxy reads
// the connection only.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.control.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.hijacked = true
	if ahead := rw.Reader.Buffered(); ahead > 0 {
		conn = &aheadConn{Conn: conn, ahead: io.LimitReader(rw.Reader, int64(ahead))}
	}
	return conn, rw, nil
}

// unreadBody reports whether the client may still send parts of its body on this connection. A body that was received ahead is complete, even if the
// transport has not read it to its end when the answer comes.
func (w *writer) unreadBody() bool {
	return w.body != nil && w.request.ProtoMajor == 1 && !w.body.ended.Load() && !server.Received(w.request.Context())
}

// close is deferred by Serve. After it, the transport's goroutine, which may still read the request's body, writes nothing to inner any more: net/http
// may use the connection for something else.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final = true
}

// finish ends the reading of a request body that is not needed any more: otherwise net/http and the transport would wait for a client that neither
// sends the rest nor leaves. Package server throws away what the client still sends.
func (w *writer) finish() {
	if w.hijacked || !w.unreadBody() {
		return
	}
	server.GiveUp(w.request.Context())
}
