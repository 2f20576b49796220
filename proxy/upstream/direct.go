package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// direct carries requests without content over HTTP/1.1 without TLS, each on the goroutine that sends the request.
// net/http's transport has a reader and a writer for each connection, for answers that come while content is still
// sent, and for connections that end while no request uses them. direct writes a request, and then reads its answer.
// Whether an idle connection has ended is checked when the next request takes it (countedConn.quiet). net/http's own
// functions write and read the messages, so that both ways take the same bytes for the same message.
//
// Invariant: a connection is kept only if its request was answered whole, both sides want to keep the connection, no
// unasked byte has come, and no interruption by the end of a context has begun.
type direct struct {
	dial dialFunc
	idle *idleConns // nil: each request has a connection of its own
}

// directConn is a connection for direct. One request at a time uses it.
type directConn struct {
	*countedConn
	to    string // the address
	in    *bufio.Reader
	out   *bufio.Writer
	left  int64     // how many bytes may still be read: heads are bounded
	since time.Time // when the connection became idle
}

// Read implements io.Reader, for in.
func (c *directConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeadTooLong
	}
	n, err := c.countedConn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

var errHeadTooLong = fmt.Errorf("the header of the response has more than %d bytes", maxHeaderBytes)

// headAndBody is how much of a response is read at once, in bytes. A response that is no longer comes whole with its
// head, if the upstream sends both together (AtHand).
const headAndBody = 8 << 10

// interrupted is a deadline in the past, which ends every wait for a connection.
var interrupted = time.Unix(1, 0)

// carries reports whether direct can carry a request.
func (d *direct) carries(req *http.Request) bool {
	return d != nil && (req.Body == nil || req.Body == http.NoBody) && req.ContentLength == 0 && req.URL.Scheme == "http" &&
		len(req.Trailer) == 0 && len(req.TransferEncoding) == 0 && req.Header["Upgrade"] == nil && req.Header["Expect"] == nil
}

// send sends req, records the steps in the trip, and returns the response when its head is there.
func (d *direct) send(w *trip, req *http.Request) (*http.Response, error) {
	if err := checkRequest(req); err != nil {
		return nil, err
	}
	if ctx := w.within(req.Context()); ctx != req.Context() {
		req = req.WithContext(ctx)
	}
	conn, kept, err := d.connect(req)
	if err != nil {
		return nil, causeOr(req.Context(), err)
	}
	w.took(conn.countedConn, kept)
	// If the context has ended already, the func runs at once.
	x := &directExchange{conn: conn, idle: d.idle, stop: context.AfterFunc(req.Context(), func() { _ = conn.SetDeadline(interrupted) })}
	res, err := x.exchange(w, req)
	if err != nil {
		x.end(false)
		return nil, causeOr(req.Context(), err)
	}
	return res, nil
}

// causeOr returns why the context has ended, or err if the context has not ended.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// checkRequest reports why a request must not be written: a name or value that would mean something else on the wire.
func checkRequest(req *http.Request) error {
	if !httpguts.ValidHeaderFieldName(req.Method) { // a method is a token, too (RFC 9110 §9.1)
		return fmt.Errorf("write request: invalid method %q", req.Method)
	}
	for name, lines := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("write request: invalid field name %q", name)
		}
		for _, line := range lines {
			if !httpguts.ValidHeaderFieldValue(line) {
				return fmt.Errorf("write request: invalid value of field %s", name) // the value may be a secret
			}
		}
	}
	return nil
}

// connect returns a connection to the address of req: an idle connection on which nothing has arrived, or a new one.
func (d *direct) connect(req *http.Request) (c *directConn, kept bool, err error) {
	ctx := req.Context()
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	to := req.URL.Host
	for c := d.idle.take(to); c != nil; c = d.idle.take(to) {
		if c.quiet() {
			return c, true, nil
		}
		c.Close()
	}
	address := to
	if req.URL.Port() == "" {
		address = net.JoinHostPort(req.URL.Hostname(), "80")
	}
	conn, err := d.dial(ctx, "tcp", address)
	if err != nil {
		return nil, false, err
	}
	c = &directConn{countedConn: conn.(*countedConn), to: to}
	c.in, c.out = bufio.NewReaderSize(c, headAndBody), bufio.NewWriter(c.countedConn)
	return c, false, nil
}

// directExchange is one request and its response on a connection.
type directExchange struct {
	conn *directConn
	idle *idleConns
	stop func() bool // stops the interruption by the context's end; false: the interruption has begun
	keep bool        // the connection can be kept when the response is whole
	over atomic.Bool // the connection was given back
}

// exchange writes a request and reads the head of its response.
func (x *directExchange) exchange(w *trip, req *http.Request) (*http.Response, error) {
	c := x.conn
	if x.idle == nil {
		req.Close = true // req is the attempt's own copy
	}
	if err := req.Write(c.out); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	if err := c.out.Flush(); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	c.left = maxHeaderBytes
	if _, err := c.in.Peek(1); err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	w.hearing()
	res, err := c.readHead(req)
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	c.left = math.MaxInt64
	if res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = http.NoBody // the request did not ask for an upgrade; see checkUpgrade
	}
	// After HEAD no connection is kept: see trip.retire.
	x.keep = x.idle != nil && !res.Close && !req.Close && res.StatusCode > 199 && req.Method != http.MethodHead
	if req.Method == http.MethodHead || res.ContentLength == 0 || res.Body == http.NoBody {
		x.end(x.keep)
		return res, nil
	}
	res.Body = &directBody{ReadCloser: res.Body, x: x, ctx: req.Context(), left: res.ContentLength}
	return res, nil
}

// readHead reads the head of the final response. Informational heads before it go to the trace's Got1xxResponse,
// which then bounds their number. Without Got1xxResponse, maxHeaderBytes bounds all heads together.
func (c *directConn) readHead(req *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	for {
		res, err := http.ReadResponse(c.in, req)
		if err != nil {
			return nil, err
		}
		if res.StatusCode < 100 || res.StatusCode > 199 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, nil
		}
		if trace == nil || trace.Got1xxResponse == nil {
			continue
		}
		if err := trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header)); err != nil {
			return nil, err
		}
		c.left = maxHeaderBytes
	}
}

// end gives the connection back, to be kept or to be closed. Only the first call counts: the reader may reach the end
// of the body while another goroutine closes the body.
func (x *directExchange) end(keep bool) {
	if !x.over.CompareAndSwap(false, true) {
		return
	}
	// Bytes beyond the response belong to no request. An interruption that has begun would hit the next request.
	if x.stop() && keep && x.conn.in.Buffered() == 0 {
		x.idle.put(x.conn)
		return
	}
	x.conn.Close()
}

// directBody is the body of a response. At its end the connection is given back.
type directBody struct {
	io.ReadCloser
	x    *directExchange
	ctx  context.Context
	left int64 // bytes of the body that were not read; below 0: unknown
	err  error // of the last Read
}

func (b *directBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if err == nil {
		return n, nil
	}
	whole := errors.Is(err, io.EOF)
	if !whole {
		err = causeOr(b.ctx, err)
	}
	b.err = err
	b.x.end(whole && b.x.keep)
	return n, err
}

// Close ends the response. Close does not wait for the rest of the body, and closes the connection.
func (b *directBody) Close() error {
	b.x.end(false)
	return nil
}
