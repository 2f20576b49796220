package server

import (
	"errors"
	"net/http"
)

const (
	// ownHeader is the part of its headers, in bytes, for which each connection has room of its own. Few headers are
	// longer.
	ownHeader = 8 << 10
	// headerMemory is the room, in bytes, for the parts of all headers beyond ownHeader, from the first byte of a
	// header to the end of its request. One client may send Limits.MaxHeaderBytes, but ten thousand clients may not.
	headerMemory = 32 << 20
)

// errHeaders ends a connection whose header has no room left.
var errHeaders = errors.New("read header: no memory is left for headers")

// grow adds n bytes of headers, negative to subtract, and reports whether they have room. The bytes are counted
// either way, until forget.
func (c *connection) grow(n int64) bool {
	after := c.header.Add(n)
	extra := max(0, after-ownHeader) - max(0, after-n-ownHeader)
	return extra == 0 || c.all.headers.Add(extra) <= headerMemory || extra < 0
}

// forget takes all of the connection's headers off the counts.
func (c *connection) forget() {
	if n := c.header.Swap(0); n > ownHeader {
		c.all.headers.Add(ownHeader - n)
	}
}

// received counts n bytes from the client where they can only belong to the header of a request: over HTTP/1.1, when
// no request is at work.
func (c *connection) received(n int) error {
	if n == 0 || !c.waits() || c.grow(int64(n)) {
		return nil
	}
	c.all.headerless.Add(1)
	_ = c.drop()
	return errHeaders
}

// headerBytes returns how many bytes a request's header takes.
func headerBytes(r *http.Request) int64 {
	n := len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	return int64(n)
}

// refuse answers a request of HTTP/2 for which the server has no room.
func refuse(w http.ResponseWriter, r *http.Request) {
	w.Header()["Retry-After"] = []string{"1"}
	w.Header()["Cache-Control"] = []string{"no-store"}
	Error(w, r, http.StatusServiceUnavailable, "too many requests, or too long headers, are under way; try again", "")
}
