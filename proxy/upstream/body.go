package upstream

import (
	"cacheproxy/policy/httpcache"
	"errors"
	"io"
	"net/http"
	"time"
)

// isStream reports whether a response lasts as long as its peers wish instead of as long as its bytes take.
func isStream(res *http.Response) bool {
	return res.StatusCode == http.StatusSwitchingProtocols || httpcache.Streams(res.Header)
}

// bodyOf returns h as the body of a response. The body of an upgraded connection stays writable.
func bodyOf(h *heldBody) io.ReadCloser {
	if h.ReadCloser == http.NoBody {
		h.complete()
		h.of.release()
		return h.ReadCloser
	}
	if w, ok := h.ReadCloser.(io.Writer); ok {
		return &heldConn{heldBody: h, Writer: w}
	}
	return h
}

// AtHand reports whether the rest of a response's body has come, so that reading it waits for nobody. AtHand may
// report false although the rest has come.
func AtHand(res *http.Response) bool {
	b, ok := res.Body.(*heldBody)
	if !ok {
		return res.Body == http.NoBody
	}
	return b.atHand()
}

func (b *heldBody) atHand() bool {
	d, ok := b.ReadCloser.(*directBody)
	return ok && d.err == nil && d.left >= 0 && d.left <= int64(d.x.conn.in.Buffered())
}

// heldBody is a response's body that releases its attempt at the end.
type heldBody struct {
	io.ReadCloser
	of       *attempt     // released at the end of the body, or by Close
	received func(int)    // gets the number of bytes that came, at each Read
	whole    bool         // complete still has to report how long the answer took
	stall    *stall       // nil: the body may pause as long as it likes
	trailer  *http.Header // of the response; nil: none
}

// complete reports once how long a response took that has come whole.
func (b *heldBody) complete() {
	if b.whole {
		b.whole = false
		b.of.upstream.options.Completed(time.Since(b.of.began))
	}
}

// Read releases the attempt at the end of the body, whether or not the caller closes the body then.
func (b *heldBody) Read(p []byte) (int, error) {
	waits := !b.atHand()
	if waits {
		b.stall.begin()
	}
	n, err := b.ReadCloser.Read(p)
	b.received(n)
	if errors.Is(err, io.EOF) {
		b.complete()
	}
	if waits || err == nil { // otherwise the upstream had no turn, and no turn of the client follows
		if ended := b.stall.end(); ended != nil && err != nil && !errors.Is(err, io.EOF) {
			err = ended
		}
	}
	if err != nil {
		b.stall.stop()
		if b.trailer != nil {
			httpcache.StripTrailer(*b.trailer)
		}
		b.of.release()
	}
	return n, err
}

func (b *heldBody) Close() error {
	b.stall.stop()
	err := b.ReadCloser.Close()
	b.of.release()
	return err
}

// heldConn is an upgraded connection. The end of one direction is not that of the connection: only Close gives the
// place back.
type heldConn struct {
	*heldBody
	io.Writer
}

func (c *heldConn) Read(p []byte) (int, error) { return c.ReadCloser.Read(p) }

// CloseWrite tells the upstream that nothing follows, and leaves the other direction open.
func (c *heldConn) CloseWrite() error {
	if w, ok := c.Writer.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
