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

// writer keeps net/http from improving a response that passes through, and makes what net/http leaves to chance
// certain: who writes informational responses, and that a connection with an unread body ends.
//
// Two goroutines send heads. Serve's sends the final one, and the body. The transport's sends the informational heads that come
// from the upstream, which ReverseProxy ends with the upstream's final head, and the 100 for which a client waits (invite),
// which nothing else ends: the transport may begin to read the request's body when the response is under way already, or when
// Serve has returned. A 100 that is written to inner at such a time would land inside the response, or race with what net/http
// does to the connection for the next request. So every head is sent under mu, and none after final.
type writer struct {
	inner   http.ResponseWriter
	control *http.ResponseController
	request *http.Request // the client's

	// The rest down to mu belongs to Serve's goroutine.

	body     *body // nil: none is sent on. Set before the request is sent.
	hijacked bool
	// unmeasured says that the length of the final response's body is unknown. Set before its head goes out.
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
		// It stays so even where the body turns out to be short, or empty.
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

// invite asks a client that waits for it to send its body (RFC 9110 §10.1.1). The transport's goroutine calls it.
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

// unreadBody reports whether the client may still send parts of its body on this very connection. A body that was received before it
// was sent on may be all there, and the transport not have come to its end when the answer is.
func (w *writer) unreadBody() bool {
	return w.body != nil && w.request.ProtoMajor == 1 && !w.body.ended.Load() && !server.Received(w.request.Context())
}

// close ends the writer with Serve, however Serve ends: the transport, which may still read the request's body, writes to inner
// no more, which net/http may use for something else from then on.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final = true
}

// finish keeps net/http and the transport from waiting for the rest of a body that nobody wants any more, from a client that
// may neither send it nor leave. What the client still sends its connection takes.
func (w *writer) finish() {
	if w.hijacked || !w.unreadBody() {
		return
	}
	server.GiveUp(w.request.Context())
}
