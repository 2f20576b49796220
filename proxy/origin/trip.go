package origin

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// trip follows one request through a transport: which connection it has, and whether anything was written there since.
type trip struct {
	mu     sync.Mutex
	conn   *countedConn // which the request has to itself; nil: none yet
	before int64        // what was written to conn before the request had it
	sent   bool         // on an earlier connection, or on one that is shared, where nobody can tell
}

// follow returns req so that t learns of its way.
func (t *trip) follow(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: t.connected}))
}

func (t *trip) connected(info httptrace.GotConnInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = t.wrote()
	t.conn = exclusive(info.Conn)
	if t.conn == nil {
		t.sent = true
		return
	}
	t.before = t.conn.written.Load()
}

// wrote reports whether anything of the request may have been written. It is final once RoundTrip has failed: the
// transport's writer has ended by then. The caller holds mu.
func (t *trip) wrote() bool {
	return t.sent || t.conn != nil && t.conn.written.Load() != t.before
}

// unsent reports that nothing of the request was written.
func (t *trip) unsent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.wrote()
}

// exclusive is the connection below c if it carries one request at a time; nil: it does not, or nobody knows.
func exclusive(c net.Conn) *countedConn {
	if t, ok := c.(*tls.Conn); ok {
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			return nil
		}
		c = t.NetConn()
	}
	conn, ok := c.(*countedConn)
	if !ok || conn.shared {
		return nil
	}
	return conn
}
