package server

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
)

// Over HTTP/1.1, net/http itself answers bytes that it cannot parse as a request, with 400, 431, 501 or 505, and has no hook for that. It reads a
// head, sets the connection's state to active, and then either calls the handler or writes such an answer. So an answer that is written after the
// change of state and before the handler is called is one of these. Over HTTP/2, a malformed request is an error of its stream, which cannot be seen
// here, and neither can 431.

// heading is http.Server.ConnState: it notes that a head was read.
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

// rejects is called with bytes that are written after a head was read and before its handler is called, and reports a rejection.
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

// rejection is the status of an answer of net/http's own; 0: the bytes are none. With TLS the answer cannot be read: a header as long as net/http
// accepts at most then counts as 431, and anything else as 400.
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
