package pass

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
)

// passWriter keeps net/http from improving a response that passes through, and makes what net/http leaves to chance
// certain: who writes informational responses, and that a connection with an unread body ends.
type passWriter struct {
	inner    http.ResponseWriter
	control  *http.ResponseController
	request  *http.Request
	body     *passBody // nil: none is sent on
	hijacked bool
	// unmeasured says that the length of the final response's body is unknown. Set before its head goes out.
	unmeasured bool

	mu        sync.Mutex  // guards what is below, and inner until the final head
	header    http.Header // of the next head; inner's own is touched only with the head
	final     bool        // the final head is out
	continued bool        // a 100 is out
}

func newPassWriter(w http.ResponseWriter, r *http.Request) *passWriter {
	return &passWriter{inner: w, control: http.NewResponseController(w), request: r, header: make(http.Header)}
}

// Header returns the fields of the next head, after the final one those of the trailer.
func (w *passWriter) Header() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.final {
		return w.inner.Header()
	}
	return w.header
}

// WriteHeader sends an informational or the final head. Informational ones arrive on the transport's goroutine.
func (w *passWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.final {
		return
	}
	if status < 200 {
		policy.RemoveHopByHop(w.header)
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
		h.Set("Connection", "close") // what is left of the body must not be taken for the next request
	}
	w.inner.WriteHeader(status)
	if w.unmeasured {
		// It stays so even where the body turns out to be short, or empty.
		w.control.Flush() //nolint:errcheck // a lost client shows at the next write
	}
}

// inform sends an informational head, which HTTP/1.0 does not know (RFC 9110 §15.2). A 101 is none, though over HTTP/2, where
// it has no meaning (RFC 9113 §8.6), it comes as one: to net/http it is the last head there is. The caller holds mu.
func (w *passWriter) inform(status int, fields http.Header) {
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

// invite asks a client that waits for it to send its body (RFC 9110 §10.1.1).
func (w *passWriter) invite() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.final {
		w.inform(http.StatusContinue, nil)
	}
}

// Write sends a part of the body.
func (w *passWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.inner.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *passWriter) Unwrap() http.ResponseWriter { return w.inner }

// Hijack hands over the connection of an upgrade, with what the client has sent ahead of the answer: ReverseProxy reads
// the connection only.
func (w *passWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
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

// aheadConn is a connection of which the first bytes have been read already.
type aheadConn struct {
	net.Conn
	ahead io.Reader
}

func (c *aheadConn) Read(p []byte) (int, error) {
	if c.ahead != nil {
		if n, err := c.ahead.Read(p); err == nil {
			return n, nil
		}
		c.ahead = nil
	}
	return c.Conn.Read(p)
}

// CloseWrite tells the client that nothing follows, and leaves the other direction open.
func (c *aheadConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unreadBody reports whether the client may still send parts of its body on this very connection.
func (w *passWriter) unreadBody() bool {
	return w.body != nil && w.request.ProtoMajor == 1 && !w.body.ended.Load()
}

// close keeps the transport, which may still read the request's body, from writing to a client that has its answer.
func (w *passWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final = true
}

// finish keeps net/http and the transport from waiting for the rest of a body that nobody wants any more, from a client that
// may neither send it nor leave. What the client still sends its connection takes.
func (w *passWriter) finish() {
	if w.hijacked || !w.unreadBody() {
		return
	}
	server.GiveUp(w.request.Context())
}

// passBody is the request's body on its way to the origin.
type passBody struct {
	io.ReadCloser
	writer  *passWriter
	expects atomic.Bool // the client waits for a 100
	in      *http.Request
	trailer http.Header // of the outgoing request
	ended   atomic.Bool // read to its end
}

// newPassBody returns the body of out, which is in's, and prepares out for the trailer fields that may follow it.
func newPassBody(pw *passWriter, in, out *http.Request) *passBody {
	b := &passBody{ReadCloser: out.Body, writer: pw, in: in}
	b.expects.Store(in.Header.Get("Expect") != "")
	pw.body = b
	pw.control.EnableFullDuplex() //nolint:errcheck // where it is not supported, HTTP/2, it is always on
	if out.Trailer == nil {
		out.Trailer = make(http.Header) // they need not be announced (RFC 9110 §6.6.2)
	}
	if len(out.Trailer) > 0 {
		out.ContentLength = -1 // HTTP/1.1 has trailers only after chunks
	}
	b.trailer = out.Trailer
	return b
}

func (b *passBody) Read(p []byte) (int, error) {
	if b.expects.CompareAndSwap(true, false) {
		b.writer.invite()
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		maps.Copy(b.trailer, b.in.Trailer)
		b.ended.Store(true)
	}
	return n, err
}
