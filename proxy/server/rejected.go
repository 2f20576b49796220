package server

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
)

// Over HTTP/1.1, what net/http cannot take for a request it answers itself, with 400, 431, 501 or 505, and tells nobody. It reads a head,
// says that the connection is active, and then either calls the handler or writes such an answer: what is written between the
// two is one. Over HTTP/2 a malformed request is an error of its stream, and 431 too is for net/http alone to know.

// heading is http.Server's ConnState: it notes that a head was read.
func (c *Connections) heading(conn net.Conn, state http.ConnState) {
	if state != http.StateActive {
		return
	}
	if secure, ok := conn.(*tls.Conn); ok {
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			return
		}
		conn = secure.NetConn()
	}
	if own, ok := conn.(*connection); ok {
		own.heading.Store(true)
	}
}

// rejects looks at what is written while a head has no handler.
func (c *connection) rejects(p []byte) {
	status := c.rejection(p)
	if status != 0 && c.heading.CompareAndSwap(true, false) {
		c.all.rejected(addrOf(c.RemoteAddr()), status)
	}
}

const (
	// applicationData is the type of the TLS records that carry content, and since TLS 1.3 all that is encrypted (RFC 8446 §5.1).
	applicationData = 23
	// longestAlert is more than the record of an alert has, such as the one that says goodbye.
	longestAlert = 64
	// headerSlack is what net/http reads of a header beyond http.Server.MaxHeaderBytes.
	headerSlack = 4 << 10
)

// rejection is the status of an answer of net/http's own; 0: it is none. Below TLS the answer cannot be read, and what the client has
// sent tells a header that is too long from all else.
func (c *connection) rejection(p []byte) int {
	if rest, ok := bytes.CutPrefix(p, []byte("HTTP/1.1 ")); ok && len(rest) > 3 {
		status, _ := strconv.Atoi(string(rest[:3])) // net/http writes three digits
		return status
	}
	switch {
	case len(p) <= longestAlert || p[0] != applicationData:
		return 0
	case c.header.Load() >= int64(c.all.limits.MaxHeaderBytes+headerSlack):
		return http.StatusRequestHeaderFieldsTooLarge
	}
	return http.StatusBadRequest
}
