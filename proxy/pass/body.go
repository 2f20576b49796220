package pass

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"sync/atomic"

	"cacheproxy/proxy/server"
)

// body is the request's body on its way to the upstream. The transport reads it on a goroutine of its own. That
// goroutine may still read when the response has begun, and when Serve has returned.
type body struct {
	io.ReadCloser
	writer  *writer
	in      *http.Request // its Trailer is complete when the body was read to its end
	trailer http.Header   // of the outgoing request; the transport reads the trailer after the body, on one goroutine
	strip   func(http.Header)
	expects atomic.Bool // the client waits for a 100 before it sends
	ended   atomic.Bool // the body was read to its end; the transport's goroutine sets the flag, Serve's reads it
}

// newBody returns the body of out, which is in's, and prepares out for the trailer fields that may follow the body.
func newBody(pw *writer, in, out *http.Request, strip func(http.Header)) *body {
	if strip == nil {
		strip = func(http.Header) {}
	}
	b := &body{ReadCloser: out.Body, writer: pw, in: in, strip: strip}
	b.expects.Store(in.Header.Get("Expect") != "")
	pw.body = b
	pw.control.EnableFullDuplex() //nolint:errcheck // where it is not supported, HTTP/2, it is always on
	if out.Trailer == nil {
		out.Trailer = make(http.Header) // a client need not announce trailer fields (RFC 9110 §6.6.2)
	}
	strip(out.Trailer)
	if len(out.Trailer) > 0 {
		out.ContentLength = -1 // HTTP/1.1 has trailers only after chunks (RFC 9112 §7.1.2)
	}
	b.trailer = out.Trailer
	return b
}

// Read reads the client's body. The first read asks a client that waits for a 100 to send: the transport begins to
// read when the upstream has said 100, or has been silent for long enough.
func (b *body) Read(p []byte) (int, error) {
	if b.expects.CompareAndSwap(true, false) {
		b.writer.invite()
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		maps.Copy(b.trailer, b.in.Trailer)
		b.strip(b.trailer)
		b.ended.Store(true)
	}
	return n, err
}

// Abandon ends a read that is under way. Over HTTP/1.1 only the connection can end the read, because closing a body
// waits for the read. Over HTTP/2 Abandon closes the client's own body. To close the body that ReverseProxy has put
// around it would only keep the next read from beginning. The read under way would go on waiting, and with it the
// transport, which gives nothing back before its writer has ended.
func (b *body) Abandon() {
	if b.in.ProtoMajor >= 2 {
		b.in.Body.Close() // the error cannot matter any more
		return
	}
	server.GiveUp(b.in.Context())
}
