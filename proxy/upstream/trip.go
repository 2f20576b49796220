package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"

	"cacheproxy/lockorder"
)

// trip is one request's way through a transport: which connection it has, and whether anything was written there since. It
// keeps the transport from sending the request a second time. A transport does so by itself as often as it finds a kept
// connection closed, which with a request that its upstream dies of is as often as there are connections, and it takes a
// request with Idempotency-Key for one that may be repeated.
type trip struct {
	cancel context.CancelCauseFunc // of the request on this trip
	replay *replay                 // of its body; nil: it has none, or the body cannot be sent again
	repeat *balancer               // is asked whether the request may be sent once more, and counts that

	// The transport tells of its steps on goroutines of its own; Send asks what came of them.
	mu     lockorder.Mutex[lockorder.Trip] // guards what is below
	conn   *countedConn                    // which the request has to itself; nil: none yet
	common *countedConn                    // which it shares with others; nil: none, or nobody knows
	before int64                           // what was written to conn before the request had it
	kept   bool                            // conn or common had been used by other requests before
	heard  bool                            // the first byte of a response has come
	head   bool                            // the method is HEAD; set before the transport begins
	sent   bool                            // something may have been written on an earlier connection, or on one that is shared
	barred bool                            // the transport was kept from sending the request a second time
	again  int                             // how often the transport has sent the request again over HTTP/2
	peer   string                          // address of the last connection; empty: there was none
}

// tripKey is where a request's context has its trip.
type tripKey struct{}

// within is ctx with the trip; ctx itself where that has it already.
func (w *trip) within(ctx context.Context) context.Context {
	if ctx.Value(tripKey{}) == w {
		return ctx
	}
	return context.WithValue(ctx, tripKey{}, w)
}

// Peer is the address, as IP:port, that a response which Send has returned came from.
func Peer(res *http.Response) string {
	w, _ := res.Request.Context().Value(tripKey{}).(*trip)
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peer
}

// through sends req through t. The request's context is that of the response's body too.
func (w *trip) through(t *carrier, req *http.Request) (*http.Response, error) {
	if t.direct.carries(req) {
		return t.direct.send(w, req)
	}
	ctx, cancel := context.WithCancelCause(w.within(req.Context()))
	w.cancel = cancel // the request's own context ends this one
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

// retire closes the connection of a request that asked with HEAD, which is spent from the first byte of the answer on: many an upstream
// sends the content all the same, and it may come when the next request has been written, whose answer it would be taken for. Of a
// request that the transport gives the connection in between nothing is written, and it goes out on another. What is left to write
// of the content of the HEAD itself nobody waits for.
func (w *trip) retire() {
	w.mu.Lock()
	conn := w.conn
	w.mu.Unlock()
	if conn != nil {
		conn.Conn.Close() // and not conn.Close, which tells a request in awaitReader that the transport's reader is done
	}
}

// connecting is called before each connection that the transport takes.
func (w *trip) connecting(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wroteAlone() {
		w.barLocked()
	}
}

// connected is called with each connection that the transport has got. Over HTTP/2 the upstream says which requests it has not processed (RFC 9113
// §8.7), and the transport repeats only those; they are counted and bounded like other repeats.
func (w *trip) connected(info httptrace.GotConnInfo) {
	if conn, _ := countedBelow(info.Conn); conn != nil && info.Reused {
		// awaitReader comes first: when the reader is ready, the earlier request of the connection has its answer, which refuse could otherwise lose.
		if !conn.awaitReader() || conn.spent.Load() || !conn.quiet() {
			conn.refuse()
			w.bar() // the request goes out on another connection, since nothing of it was sent
		}
	}
	if w.shares(info) && !w.repeat.mayRepeat() {
		w.bar()
	}
}

// shares takes note of a connection, and reports whether the request is to be sent once more on one that it shares with others.
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
		// A connection may be there at once, and then it is chance whether the transport takes it or heeds the context.
		w.conn.refuse()
		fallthrough
	default:
		w.before = w.conn.written.Load()
		w.replay.only()
	}
	return false
}

// took takes note of the connection of a request that no transport carries.
func (w *trip) took(conn *countedConn, kept bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn, w.kept, w.peer, w.before = conn, kept, conn.peer, conn.written.Load()
}

// bar keeps the transport from sending the request, by ending its context with errLost.
func (w *trip) bar() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.barLocked()
}

// barLocked is bar; the caller holds mu.
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

// wroteAlone reports whether something was written on the connection that the request has to itself. It is final once
// RoundTrip has failed: the transport's writer has ended by then. The caller holds mu.
func (w *trip) wroteAlone() bool { return w.conn != nil && w.conn.written.Load() != w.before }

// wrote reports whether anything of the request may have been written. The caller holds mu.
func (w *trip) wrote() bool { return w.sent || w.wroteAlone() }

// unsent reports that nothing of the request was written.
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

// onKept reports whether the request had a connection to itself that others had used before.
func (w *trip) onKept() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept && w.conn != nil
}

// keptLost reports whether the request failed because a kept connection ended without an answer. On a shared connection that holds only if the
// connection itself has ended: otherwise the upstream has ended this request alone, deliberately. A request that HTTP/2 has refused as often as it
// may be sent again was not lost either.
func (w *trip) keptLost() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil {
		return !w.barred && w.kept && !w.heard && w.common != nil && w.common.ended.Load()
	}
	return w.barred || w.kept && !w.heard
}

// countedBelow is the connection below c: alone if it carries one request at a time, common if it carries several. Neither is known of
// connections that are not the upstream's own.
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
