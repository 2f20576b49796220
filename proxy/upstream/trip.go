package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"

	"cacheproxy/lockorder"
)

// trip is one request's way through a transport: its connection, and whether anything was written there since. A trip
// keeps the transport from sending the request a second time. A transport does so by itself as often as it finds a
// kept connection closed: with a request that kills its upstream, as often as there are connections. A transport also
// repeats any request with Idempotency-Key.
type trip struct {
	cancel context.CancelCauseFunc // of the request on this trip
	replay *replay                 // of its body; nil: no body, or the body cannot be sent again
	repeat *balancer               // says whether the request may be sent once more, and counts that

	// The transport calls connecting, connected and hearing on goroutines of its own. Send reads the results.
	mu     lockorder.Mutex[lockorder.Trip] // guards the fields below
	conn   *countedConn                    // the request has this connection to itself; nil: none yet
	common *countedConn                    // the request shares this connection; nil: none, or unknown
	before int64                           // bytes written to conn before the request had it
	kept   bool                            // other requests had used conn or common before
	heard  bool                            // a first byte of the answer came back
	head   bool                            // the method is HEAD; set before the transport begins
	sent   bool                            // sent on an earlier connection, or on a shared one, where nobody can tell
	barred bool                            // the transport was about to send again a request that was sent
	again  int                             // how many repeats of HTTP/2 were begun
	peer   string                          // where the last connection led; empty: there was none
}

// tripKey is the key of a request's trip in the request's context.
type tripKey struct{}

// within returns ctx with the trip, or ctx itself when ctx has this trip already.
func (w *trip) within(ctx context.Context) context.Context {
	if ctx.Value(tripKey{}) == w {
		return ctx
	}
	return context.WithValue(ctx, tripKey{}, w)
}

// Peer returns the address, as IP:port, from which a response of Send came.
func Peer(res *http.Response) string {
	w, _ := res.Request.Context().Value(tripKey{}).(*trip)
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peer
}

// through sends req through t. The context of the sent request is that of the response's body, too.
func (w *trip) through(t *carrier, req *http.Request) (*http.Response, error) {
	if t.direct.carries(req) {
		return t.direct.send(w, req)
	}
	ctx, cancel := context.WithCancelCause(w.within(req.Context()))
	w.cancel = cancel // also ends with the request's own context
	w.head = req.Method == http.MethodHead
	res, err := t.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: w.connecting, GotConn: w.connected, GotFirstResponseByte: w.hearing,
	})))
	switch {
	case err != nil:
		cancel(nil)
		if w.wasBarred() {
			err = errLost
		}
	case w.head:
		w.retire()
	}
	return res, err
}

// retire closes the connection of a HEAD request. hearing has marked the connection as spent at the first byte of the
// answer. Many an upstream sends the content of an answer to HEAD all the same. That content may come when the next
// request has been written on the connection, and would be taken for its answer. If the transport gives the
// connection to a request in between, nothing of that request is written, and it goes out on another connection.
// Nobody waits for the rest of the content of the HEAD request itself, if any is left to write.
func (w *trip) retire() {
	w.mu.Lock()
	conn := w.conn
	w.mu.Unlock()
	if conn != nil {
		conn.Conn.Close() // not conn.Close, which would tell awaitReader that the transport's reader is done
	}
}

// connecting is called before the transport takes a connection.
func (w *trip) connecting(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wroteAlone() {
		w.barLocked()
	}
}

// connected is called with each connection that the transport takes. HTTP/2 says which requests were not processed
// (RFC 9113 §8.7). The transport repeats these by itself. mayRepeat counts and bounds these repeats like others.
func (w *trip) connected(info httptrace.GotConnInfo) {
	if conn, _ := countedBelow(info.Conn); conn != nil && info.Reused {
		// When the reader is ready, the request that had the connection before has its answer. To fail the connection
		// earlier would lose that answer.
		if !conn.awaitReader() || conn.spent.Load() || !conn.quiet() {
			conn.refuse()
			w.bar() // goes out on another connection, since no byte was sent
		}
	}
	if w.shares(info) && !w.repeat.mayRepeat() {
		w.bar()
	}
}

// shares notes a connection, and reports whether the request is about to be sent once more on a connection that
// requests share.
func (w *trip) shares(info httptrace.GotConnInfo) (again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	again = w.sent && w.conn == nil
	w.sent = w.wrote()
	w.conn, w.common = countedBelow(info.Conn)
	w.kept, w.peer = info.Reused, peerOf(info.Conn)
	switch {
	case w.conn == nil && again:
		if w.again++; w.again <= maxReplays {
			return true
		}
		w.barLocked()
	case w.conn == nil:
		w.sent = true
	case w.barred:
		// A connection may be there at once. Then the transport may by chance take it instead of noticing the end of
		// the context.
		w.conn.refuse()
		fallthrough
	default:
		w.before = w.conn.written.Load()
		w.replay.only()
	}
	return false
}

// took notes the connection of a request that direct carries.
func (w *trip) took(conn *countedConn, kept bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn, w.kept, w.peer, w.before = conn, kept, conn.peer, conn.written.Load()
}

// bar keeps the transport from sending the request again.
func (w *trip) bar() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.barLocked()
}

// barLocked is bar for a caller that holds mu.
func (w *trip) barLocked() {
	w.barred = true
	w.cancel(errLost)
}

func (w *trip) hearing() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = true
	if w.head && w.conn != nil {
		w.conn.spent.Store(true) // before the transport can give it to another; see retire
	}
}

// wroteAlone reports whether something was written on the connection that the request has to itself. The result is
// final once RoundTrip has failed: the transport's writer has ended by then. The caller holds mu.
func (w *trip) wroteAlone() bool { return w.conn != nil && w.conn.written.Load() != w.before }

// wrote reports whether any byte of the request may have been written. The caller holds mu.
func (w *trip) wrote() bool { return w.sent || w.wroteAlone() }

// unsent reports that no byte of the request was written.
func (w *trip) unsent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.wrote()
}

// wasBarred reports whether the transport was kept from sending the request a second time.
func (w *trip) wasBarred() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.barred
}

// onKept reports whether the request had a connection to itself that other requests had used before.
func (w *trip) onKept() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept && w.conn != nil
}

// keptLost reports whether the request was lost, without an answer, with a connection that other requests had used
// before. On a shared connection, the request was lost if the connection has ended. If not, the upstream has ended
// this request alone, on purpose. A request that the upstream has refused as often as it may be sent again is not
// lost either.
func (w *trip) keptLost() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil {
		return !w.barred && w.kept && !w.heard && w.common != nil && w.common.ended.Load()
	}
	return w.barred || w.kept && !w.heard
}

// countedBelow returns the connection below c: as alone if it carries one request at a time, as common if it carries
// several. Both are nil for connections that dialer has not made.
func countedBelow(c net.Conn) (alone, common *countedConn) {
	several := false
	if t, ok := c.(*tls.Conn); ok {
		several = t.ConnectionState().NegotiatedProtocol == "h2"
		c = t.NetConn()
	}
	conn, ok := c.(*countedConn)
	switch {
	case !ok:
		return nil, nil
	case several || conn.shared:
		return nil, conn
	}
	return conn, nil
}
