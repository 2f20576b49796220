package server

import (
	"errors"
	"net/http"
)

const (
	// ownHeader is the part of a header, in bytes, for which each connection has room of its own: few are longer.
	ownHeader = 8 << 10
	// headerMemory is the room for what all headers together have beyond that, from their first byte to the end of their request, in
	// bytes. A client may have Limits.MaxHeaderBytes, but ten thousand of them may not.
	headerMemory = 32 << 20
)

// errHeaders ends a connection for whose header there is no room.
var errHeaders = errors.New("read header: no memory is left for headers")

// grow counts n bytes more of headers, or less, and reports whether there is room for them. They are counted either way, until forget.
func (c *connection) grow(n int64) bool {
	after := c.header.Add(n)
	extra := max(0, after-ownHeader) - max(0, after-n-ownHeader)
	return extra == 0 || c.all.headers.Add(extra) <= headerMemory || extra < 0
}

// forget counts no headers any more.
func (c *connection) forget() {
	if n := c.header.Swap(0); n > ownHeader {
		c.all.headers.Add(ownHeader - n)
	}
}

// received counts what a client has sent where that can only be the header of a request. Over HTTP/1.1 it is, where none is at work.
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
