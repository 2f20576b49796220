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

// writer keeps net/http from changing a response that passes through. It settles two matters that net/http leaves to
// chance: which goroutine writes informational responses, and that a connection with an unread body ends.
//
// Two goroutines send heads. The goroutine of Serve sends the final head, and the body. The transport's goroutine
// sends the informational heads of the upstream, and the 100 for which a client waits (invite). ReverseProxy stops
// informational heads when the final head comes from the upstream, but nothing stops the 100. The transport may begin
// to read the request's body when the response is under way already, or when Serve has returned. A 100 that is
// written to inner at such a time would land inside the response, or race with net/http, which prepares the
// connection for the next request. So every head is sent under mu, and none after final.
type writer struct {
	inner   http.ResponseWriter
	control *http.ResponseController
	request *http.Request // the client's

	// The fields from here down to mu belong to Serve's goroutine.

	body     *body // nil: no body is sent on. Set before the request is sent.
	hijacked bool
	// unmeasured says that the length of the final response's body is unknown. Set before the final head goes out.
	unmeasured bool

	mu        lockorder.Mutex[lockorder.PassWriter] // guards the fields below, and inner until the final head
	header    http.Header                           // of the next head; inner's changes only when a head is sent
	final     bool                                  // send no more heads: the final head is out, or Serve is over
	continued bool                                  // a 100 was sent
}

func newWriter(w http.ResponseWriter, r *http.Request) *writer {
	return &writer{inner: w, control: http.NewResponseController(w), request: r, header: make(http.Header)}
}

// Header returns the fields of the next head, and after the final head the fields of the trailer.
func (w *writer) Header() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.final {
		return w.inner.Header()
	}
	return w.header
}

// WriteHeader sends an informational head or the final one. Informational heads come on the transport's goroutine.
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
		h["Content-Type"] = nil // net/http must not guess
	}
	if w.unreadBody() {
		h.Set("Connection", "close") // the rest of the body must not be taken for the next request (RFC 9112 §9.3)
	}
	w.inner.WriteHeader(status)
	if w.unmeasured {
		// The flush makes net/http send a head without a length, even when the body turns out to be short or empty.
		w.control.Flush() //nolint:errcheck // a lost client shows at the next write
	}
}

// inform sends an informational head, which HTTP/1.0 does not know (RFC 9110 §15.2). inform sends no 101. An upstream
// over HTTP/2 may send a 101 as an informational head, where a 101 has no meaning (RFC 9113 §8.6), and net/http would
// take it for the final head. The caller holds mu.
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

// invite sends a 100 to a client that waits for one before it sends its body (RFC 9110 §10.1.1). The transport's
// goroutine calls invite.
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

// Hijack hands over the connection of an upgrade, with the bytes that the client has sent ahead of the answer.
// ReverseProxy reads the connection only, so the returned connection has these bytes.
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

// unreadBody reports whether the client may still send parts of its body on this very connection. A body that was
// received before it was sent on may be all there although the transport has not read its end: Received covers that
// case.
func (w *writer) unreadBody() bool {
	return w.body != nil && w.request.ProtoMajor == 1 && !w.body.ended.Load() && !server.Received(w.request.Context())
}

// close makes the head final with Serve, however Serve ends. The transport may still read the request's body, and
// must not write to inner any more: net/http may use inner for something else after Serve.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final = true
}

// finish ends reading from a client that may neither send the rest of its body nor leave. Otherwise net/http and the
// transport would wait for a rest that nobody wants. The client's connection takes what the client still sends, and
// throws that away.
func (w *writer) finish() {
	if w.hijacked || !w.unreadBody() {
		return
	}
	server.GiveUp(w.request.Context())
}
