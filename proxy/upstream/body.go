package upstream

import (
	"cacheproxy/policy/httpcache"
	"errors"
	"io"
	"net/http"
)

// isStream reports whether a response lasts as long as its peers wish instead of as long as its bytes take.
func isStream(res *http.Response) bool {
	return res.StatusCode == http.StatusSwitchingProtocols || httpcache.Streams(res.Header)
}

// held returns h as the body of a response. An upgraded connection stays writable.
func held(h heldBody) io.ReadCloser {
	if h.ReadCloser == http.NoBody {
		if h.whole != nil {
			h.whole()
		}
		h.done()
		return h.ReadCloser
	}
	if w, ok := h.ReadCloser.(io.Writer); ok {
		return &heldConn{heldBody: &h, Writer: w}
	}
	return &h
}

// AtHand reports whether all that is left of a response's body has come, so that reading it waits for nobody. It may say that of less than
// is true of.
func AtHand(res *http.Response) bool {
	b, ok := res.Body.(*heldBody)
	if !ok {
		return res.Body == http.NoBody
	}
	d, ok := b.ReadCloser.(*directBody)
	return ok && res.ContentLength >= 0 && res.ContentLength <= int64(d.x.conn.in.Buffered())
}

// heldBody is a response's body that gives something back at its end.
type heldBody struct {
	io.ReadCloser
	done func()
	// received is told of the bytes that came. whole is called once, when the last of them did; nil: nobody wants to know.
	received func(int)
	whole    func()
	stall    *stall       // nil: it may pause as long as it likes
	trailer  *http.Header // of the response; nil: it can have none
}

// Read calls done at the end, whether or not the caller closes the body then.
func (b *heldBody) Read(p []byte) (int, error) {
	b.stall.begin()
	n, err := b.ReadCloser.Read(p)
	b.received(n)
	if errors.Is(err, io.EOF) && b.whole != nil {
		b.whole()
		b.whole = nil
	}
	if ended := b.stall.end(); ended != nil && err != nil && !errors.Is(err, io.EOF) {
		err = ended
	}
	if err != nil {
		b.stall.stop()
		if b.trailer != nil {
			httpcache.StripTrailer(*b.trailer)
		}
		b.done()
	}
	return n, err
}

func (b *heldBody) Close() error {
	b.stall.stop()
	err := b.ReadCloser.Close()
	b.done()
	return err
}

// heldConn is an upgraded connection. One direction's end is not the connection's: only Close gives the place back.
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
