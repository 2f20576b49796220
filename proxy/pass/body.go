package pass

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"sync/atomic"

	"cacheproxy/proxy/server"
)

// body is the request's body on its way to the upstream. The transport reads it on a goroutine of its own, which may go on after
// the response has begun, and after Serve has returned.
type body struct {
	io.ReadCloser
	writer  *writer
	in      *http.Request // its Trailer is complete when the body was read to its end
	trailer http.Header   // of the outgoing request; the transport reads it after the end of the body, on the same goroutine
	strip   func(http.Header)
	expects atomic.Bool // the client waits for a 100 before it sends
	ended   atomic.Bool // read to its end; set by the transport's goroutine, asked by Serve's
}

// newBody returns the body of out, which is in's, and prepares out for the trailer fields that may follow it.
func newBody(pw *writer, in, out *http.Request, strip func(http.Header)) *body {
	if strip == nil {
		strip = func(http.Header) {}
	}
	b := &body{ReadCloser: out.Body, writer: pw, in: in, strip: strip}
	b.expects.Store(in.Header.Get("Expect") != "")
	pw.body = b
	pw.control.EnableFullDuplex() //nolint:errcheck // where it is not supported, HTTP/2, it is always on
	if out.Trailer == nil {
		out.Trailer = make(http.Header) // they need not be announced (RFC 9110 §6.6.2)
	}
	strip(out.Trailer)
	if len(out.Trailer) > 0 {
		out.ContentLength = -1 // HTTP/1.1 has trailers only after chunks (RFC 9112 §7.1.2)
	}
	b.trailer = out.Trailer
	return b
}

// Read reads on. The first read asks a client that waits for it to send: the transport begins to read when the upstream has
// said 100, or has been silent for long enough.
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

// Abandon ends a Read that is under way. Over HTTP/1.1 it has to end reading from the connection, since closing the body would wait for the Read. Over
// HTTP/2 it has to close the body of the client's request: closing the body that ReverseProxy has put around that only prevents the next Read, and
// the one under way would go on waiting, and with it the transport, which releases nothing before its writer has ended.
func (b *body) Abandon() {
	if b.in.ProtoMajor >= 2 {
		b.in.Body.Close() // its error cannot matter any more
		return
	}
	server.GiveUp(b.in.Context())
}
