package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

// connection is a client's connection below TLS and HTTP. It bounds how long a client may take nothing of an answer,
// and knows whether a request is at work.
type connection struct {
	net.Conn
	all    *Connections // does not change
	client netip.Addr   // counted as this client's; zero: no IP address. Guarded by the lock of all
	listed bool         // client is counted; guarded by the lock of all

	// introduced says that the peer is a proxy, which introduces its client first. Does not change. introduce sets
	// the fields from here to ahead, once. Every goroutine that asks for one of these fields calls introduce before.
	introduced    bool
	introducing   sync.Once
	notIntroduced error
	remote, local net.Addr // the addresses that the proxy named; nil: those of the socket
	ahead         []byte   // bytes that were read and nobody has taken yet; only the goroutine that reads uses them

	// atWork is how many requests are at work. From takenOver on no request may begin any more, because the connection is
	// being given up. reclaim and a request that comes in at the same moment both change atWork, and one of them
	// finds the other's change.
	atWork atomic.Int32
	since  atomic.Int64 // Unix nanoseconds: when the connection was accepted, or ended its last request
	header atomic.Int64 // bytes of headers on their way in and of requests at work; see grow
	served atomic.Bool  // the connection had a request
	// heading says that net/http has read a head over HTTP/1.1 and no handler has begun; see rejects
	heading atomic.Bool

	begun bool // net/http was given a byte; only the goroutine that reads uses it

	// lengths and codings look at the bytes that are read. Only the goroutine that reads uses them, one at a time.
	// That goroutine sets hasLength and hasCoding when they find something. The goroutines of requests read both.
	lengths, codings     fieldWatch
	hasLength, hasCoding atomic.Bool
	coded                atomic.Bool // the head of the first request had the coding

	shared    shared       // says whose turn it is, where the set has a Hits
	answering atomic.Int32 // notAnswering, answering or closeAfter
	headBy    atomic.Int64 // see SetReadDeadline; 0: no such deadline
	unseen    atomic.Bool  // Hits answered every request so far

	resets, answered atomic.Int32 // HTTP/2 requests that the client reset early, and all that ended

	body      atomic.Pointer[timedBody] // of the request at work (HTTP/1.1); nil: no body
	late      atomic.Bool               // a body is too late or not wanted (HTTP/1.1): ends the connection
	unread    atomic.Bool               // the last request was answered before all of its body was read (HTTP/1.1)
	lingering atomic.Bool               // closed, except for reading what the client still sends
	closed    sync.Once

	mu    lockorder.Mutex[lockorder.Connection] // guards the fields below
	asked time.Time                             // the write deadline that the layers above wish; zero: none
	armed time.Time                             // the write deadline that is set
}

// takenOver is more requests than a connection can have at work.
const takenOver = 1 << 20

// begin counts a request. False: the connection is being closed.
func (c *connection) begin() bool {
	if c.atWork.Add(1) > takenOver {
		return false
	}
	if !c.served.Load() {
		c.served.Store(true)
	}
	if c.heading.Load() {
		c.heading.Store(false)
	}
	return true
}

// end counts a request out.
func (c *connection) end() {
	c.since.Store(time.Now().UnixNano())
	if c.atWork.Load() == 1 { // otherwise the last request at work forgets
		c.forget()
	}
	c.atWork.Add(-1)
}

// waits reports whether no request is at work.
func (c *connection) waits() bool { return c.atWork.Load() == 0 }

// take makes sure that no further request begins. False: a request is at work.
func (c *connection) take() bool { return c.atWork.CompareAndSwap(0, takenOver) }

// A client that resets so many requests early wants work done rather than answers (CVE-2023-44487). Clients that
// cancel now and then stay far below.
const (
	resetsAllowed = 500
	resetsShare   = 2 // early resets are at least one in so many of all requests
)

// floods counts a request that has ended, and reports whether the client has reset too many of its requests.
func (c *connection) floods(reset bool) bool {
	all := c.answered.Add(1)
	if !reset {
		return false
	}
	resets := c.resets.Add(1)
	return resets >= resetsAllowed && resets >= all/resetsShare
}

// hasten bounds how long the rest of a body may take to come. A body that was too late already gets no more time.
func (c *connection) hasten(d time.Duration) {
	if !c.late.Load() {
		_ = c.SetReadDeadline(time.Now().Add(d)) // fails only on a closed connection
	}
}

// giveUp ends reading. The connection serves no further request.
func (c *connection) giveUp() {
	c.late.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection
}

// Read reads the bytes that the client sends, for net/http. Hits answers requests before that.
func (c *connection) Read(p []byte) (int, error) {
	if err := c.introduce(); err != nil {
		return 0, err
	}
	if c.all.hits != nil && !c.shared.forGood {
		return c.next(p)
	}
	return c.receive(p)
}

// receive reads for net/http without Hits.
func (c *connection) receive(p []byte) (int, error) {
	var n int
	var err error
	if len(c.ahead) > 0 {
		n = copy(p, c.ahead)
		c.ahead = c.ahead[n:]
	} else {
		n, err = c.Conn.Read(p)
	}
	if refused := c.inspect(p[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

// inspect looks at bytes that net/http is given, and counts them.
func (c *connection) inspect(p []byte) error {
	if !c.begun && len(p) > 0 {
		if c.begun = true; !c.introduced {
			c.opening(p)
		}
	}
	if err := c.received(len(p)); err != nil {
		return err
	}
	if !c.lengths.found {
		if c.lengths.see(p); c.lengths.found {
			c.hasLength.Store(true)
		}
	}
	if !c.codings.found {
		if c.codings.see(p); c.codings.found {
			c.coded.Store(!c.codings.later)
			c.hasCoding.Store(true)
		}
	}
	return nil
}

// Write writes all of p as long as the client takes a part within every WriteTimeout, and the whole of p not too
// slowly.
func (c *connection) Write(p []byte) (n int, err error) {
	if c.heading.Load() {
		c.rejects(p)
	}
	stall := c.all.limits.WriteTimeout
	progress := time.Now()
	last := progress.Add(atLeast(int64(len(p)))) // progress after last does not count
	armed := c.arm(progress, stall/2)
	for {
		m, err := c.Conn.Write(p[n:])
		n += m
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !armed {
			return n, err
		}
		now := time.Now()
		if m > 0 && now.Before(last) {
			progress = now
		} else if m > 0 && progress.Before(last) {
			progress = last
		}
		if now.Sub(progress) >= stall {
			c.all.stalled.Add(1)
			c.abandon()
			return n, err
		}
		armed = c.arm(progress, 0)
	}
}

// arm sets the deadline for a client that last took something at progress, unless the deadline in force is late
// enough. It reports false where the layers above wish an earlier deadline, which then holds.
func (c *connection) arm(progress time.Time, slack time.Duration) bool {
	deadline := progress.Add(c.all.limits.WriteTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked.IsZero() && c.asked.Before(deadline) {
		return false
	}
	if c.armed.Before(deadline.Add(-slack)) || c.armed.After(deadline) {
		c.armed = deadline
		return c.Conn.SetWriteDeadline(deadline) == nil
	}
	return true
}

// abandon makes the system drop the bytes that the client does not take, instead of holding them after the close.
func (c *connection) abandon() {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // the connection is closed either way
	}
}

// SetWriteDeadline sets a deadline of the layers above. That deadline holds where it is earlier than the connection's
// own.
func (c *connection) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.IsZero() {
		if !c.asked.IsZero() {
			c.asked, c.armed = t, t
			return c.Conn.SetWriteDeadline(t)
		}
		return nil // the connection's own is renewed by the next write
	}
	c.asked, c.armed = t, t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline sets both deadlines of the layers above.
func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite tells the client that nothing follows, and leaves the other direction open.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(halfCloser); ok {
		return half.CloseWrite()
	}
	return nil
}

// connectionKey is the key of a request's connection in the request's context.
type connectionKey struct{}

// withConnection is http.Server's ConnContext. It finds the connection below TLS.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	if outer, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = outer.NetConn()
	}
	if own, ok := c.(*connection); ok {
		return context.WithValue(ctx, connectionKey{}, own)
	}
	return ctx
}

func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}

// GiveUp ends reading from the client of a request with this context. The connection serves no further request.
// Without a connection of a set below, GiveUp does nothing.
func GiveUp(ctx context.Context) {
	if c := connectionOf(ctx); c != nil {
		c.giveUp()
	}
}

// Received reports whether all of the body of an HTTP/1.1 request with this context has been read from its client.
// Without a connection of a set below, Received reports false.
func Received(ctx context.Context) bool {
	c := connectionOf(ctx)
	if c == nil {
		return false
	}
	body := c.body.Load()
	return body == nil || body.ended.Load()
}

// Late reports whether reading from the client was ended, by GiveUp or because a body did not come in time. net/http
// ends the context of such a request as if the client had left.
func Late(ctx context.Context) bool {
	c := connectionOf(ctx)
	return c != nil && c.late.Load()
}
