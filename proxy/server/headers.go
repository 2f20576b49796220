package server

import (
	"errors"
	"net/http"
)

const (
	// ownHeader is how many bytes of headers each connection may have without drawing on headerMemory. Few headers are longer.
	ownHeader = 8 << 10
	// headerMemory is how many bytes of headers beyond ownHeader all connections together may have. A header counts from its first byte to
	// the end of its request. One client may send MaxHeaderBytes, but ten thousand clients may not all do so at once.
	headerMemory = 32 << 20
)

// errHeaders ends a connection for whose header there is no room.
var errHeaders = errors.New("read header: no memory is left for headers")

// grow counts n more bytes of headers, or fewer if n is negative, and reports whether there is room for them. They are counted in either case.
func (c *connection) grow(n int64) bool {
	after := c.header.Add(n)
	extra := max(0, after-ownHeader) - max(0, after-n-ownHeader)
	return extra == 0 || c.all.headers.Add(extra) <= headerMemory || extra < 0
}

// forget takes all bytes of headers of the connection out of the count.
func (c *connection) forget() {
	if n := c.header.Swap(0); n > ownHeader {
		c.all.headers.Add(ownHeader - n)
	}
}

// received counts n received bytes as a header if no request is at work on the connection: over HTTP/1.1 they can then be nothing else. If there is
// no room for them, it closes the connection, and returns errHeaders.
func (c *connection) received(n int) error {
	if n == 0 || !c.waits() || c.grow(int64(n)) {
		return nil
	}
	c.all.headerless.Add(1)
	_ = c.drop()
	return errHeaders
}

// headerBytes is what a request's header takes.
func headerBytes(r *http.Request) int64 {
	n := len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	return int64(n)
}

// refuse answers a request of HTTP/2 for which there is no room.
func refuse(w http.ResponseWriter, r *http.Request) {
	w.Header()["Retry-After"] = []string{"1"}
	w.Header()["Cache-Control"] = []string{"no-store"}
	Error(w, r, http.StatusServiceUnavailable, "too many requests, or too long headers, are under way; try again", "")
}
