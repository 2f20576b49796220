package server

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
)

// Over HTTP/1.1, net/http itself answers input that it cannot take for a request, with 400, 431, 501 or 505, and
// tells nobody. net/http reads a head, sets the connection's state to active, and then either calls the handler or
// writes such an answer. So a write between these two is a rejection. Over HTTP/2 a malformed request is an error of
// its stream, and only net/http knows of it and of a 431.

// heading is http.Server's ConnState. It notes that net/http has read a head.
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

// rejects reports a rejected request if p is an answer of net/http's own, written while a head has no handler.
func (c *connection) rejects(p []byte) {
	status := c.rejection(p)
	if status != 0 && c.heading.CompareAndSwap(true, false) {
		c.all.rejected(addrOf(c.RemoteAddr()), status)
	}
}

const (
	// applicationData is the type of the TLS records that carry content, and since TLS 1.3 of all encrypted records
	// (RFC 8446 §5.1).
	applicationData = 23
	// longestAlert is an upper bound of the record of an alert, such as close_notify, in bytes.
	longestAlert = 64
	// headerSlack is how much net/http reads of a header beyond http.Server.MaxHeaderBytes, in bytes.
	headerSlack = 4 << 10
)

// rejection returns the status of an answer of net/http's own; 0: p is no such answer. Under TLS the answer cannot be
// read here. Then the number of bytes that the client has sent tells a header that is too long from other faults.
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
