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

// connection is a client's connection below TLS and HTTP. It bounds how long a client may read nothing, and knows
// whether a request is at work on it.
type connection struct {
	net.Conn
	all    *Connections // does not change
	client netip.Addr   // whose limit it counts in; zero: its address is no IP address. Guarded by the lock of all
	listed bool         // it is counted in all.clients; guarded by the lock of all

	// introduced says that the peer is a proxy that must send a PROXY header first. It does not change. The fields after it are set once, by
	// introduce, which everyone calls who reads them.
	introduced    bool
	introducing   sync.Once
	notIntroduced error
	remote, local net.Addr // addresses of the PROXY header; nil: those of the socket
	ahead         []byte   // bytes that were received and not read yet by net/http; belongs to the reading goroutine

	// atWork is how many requests are at work. From takenOver on, no request may begin any more, because the connection is being closed:
	// reclaim and a request that comes in at the same moment both change atWork, and the later one sees the change of the earlier.
	atWork atomic.Int32
	since  atomic.Int64 // Unix nanoseconds: when it was accepted, or ended its last request
	header atomic.Int64 // bytes of headers on their way in and of requests at work; see grow
	served atomic.Bool  // it had a request
	// heading says that net/http has read a head over HTTP/1.1 and has not called the handler yet; see rejects.
	heading atomic.Bool

	// lengths and codings see all bytes that net/http reads, and belong to the reading goroutine. hasLength and hasCoding are their findings, for
	// the goroutines of requests.
	lengths, codings     fieldWatch
	hasLength, hasCoding atomic.Bool
	coded                atomic.Bool // the coding was found in the head of the first request

	shared    shared       // how Hits and net/http share the connection; unused without Hits
	answering atomic.Int32 // notAnswering, answering or closeAfter
	headBy    atomic.Int64 // deadline of a head that had begun before net/http got it, in Unix nanoseconds; see SetReadDeadline; 0: none
	unseen    atomic.Bool  // all its requests so far were answered by Hits

	resets, answered atomic.Int32 // HTTP/2 requests that the client reset early, and all

	body      atomic.Pointer[timedBody] // of the request that is at work (HTTP/1.1); nil: it has none
	late      atomic.Bool               // reading was ended: a body did not come in time, or is not wanted any more (HTTP/1.1)
	unread    atomic.Bool               // the last request was answered before all of its body was read (HTTP/1.1)
	lingering atomic.Bool               // its write side is closed; what the client still sends is read and thrown away
	closed    sync.Once

	mu    lockorder.Mutex[lockorder.Connection] // guards what is below
	asked time.Time                             // the write deadline that net/http has set; zero: none
	armed time.Time                             // the write deadline of the socket
}

// takenOver is added to atWork by take. It is more than the number of requests that a connection can have.
const takenOver = 1 << 20

// begin counts a request in. It reports false if the connection is being closed.
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
	if c.atWork.Load() == 1 { // otherwise other requests are at work, and the last of them calls forget
		c.forget()
	}
	c.atWork.Add(-1)
}

// waits reports whether no request is at work.
func (c *connection) waits() bool { return c.atWork.Load() == 0 }

// take keeps further requests from beginning. It reports false, and has done nothing, if one is at work.
func (c *connection) take() bool { return c.atWork.CompareAndSwap(0, takenOver) }

// Early resets by which a client shows that it wants work done rather than answers (CVE-2023-44487). Clients that cancel
// now and then stay far below.
const (
	resetsAllowed = 500
	resetsShare   = 2 // of all requests, one in so many
)

// floods counts a request that ended, and reports whether the client has reset too many of its own.
func (c *connection) floods(reset bool) bool {
	all := c.answered.Add(1)
	if !reset {
		return false
	}
	resets := c.resets.Add(1)
	return resets >= resetsAllowed && resets >= all/resetsShare
}

// hasten bounds how long the rest of a body may take, unless reading has been ended already.
func (c *connection) hasten(d time.Duration) {
	if !c.late.Load() {
		_ = c.SetReadDeadline(time.Now().Add(d)) // of a connection that is closed
	}
}

// giveUp ends reading from the connection, which then serves no further request.
func (c *connection) giveUp() {
	c.late.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // of a connection that is closed
}

// Read reads what the client sends.
func (c *connection) Read(p []byte) (int, error) {
	if err := c.introduce(); err != nil {
		return 0, err
	}
	if c.all.hits != nil && !c.shared.forGood {
		return c.next(p)
	}
	return c.receive(p)
}

// receive reads for net/http.
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

// inspect looks at the bytes that net/http is about to get: it counts headers, and looks for fields. The error ends the connection.
func (c *connection) inspect(p []byte) error {
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

// Write writes all of p as long as the client takes some of it within every WriteTimeout, and it as a whole not too slowly.
func (c *connection) Write(p []byte) (n int, err error) {
	if c.heading.Load() {
		c.rejects(p)
	}
	stall := c.all.limits.WriteTimeout
	progress := time.Now()
	last := progress.Add(atLeast(int64(len(p)))) // progress after it does not count
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

// arm sets the write deadline for a client that last took something at progress, unless the current deadline is at most slack earlier. It reports
// false if net/http has set an earlier deadline, which then stays.
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

// abandon makes the system discard, at the close, what the client has not taken.
func (c *connection) abandon() {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // it is closed either way
	}
}

// SetWriteDeadline sets the write deadline of net/http. It counts if it is earlier than the connection's own.
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

// SetDeadline sets both deadlines of net/http.
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

// connectionKey is where a request's context has its connection.
type connectionKey struct{}

// withConnection is http.Server's ConnContext: it finds the connection below what TLS puts around it.
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

// GiveUp ends reading what the client of a request with this context still sends: its connection serves no other request.
// Where no connection of a set is below, nothing happens.
func GiveUp(ctx context.Context) {
	if c := connectionOf(ctx); c != nil {
		c.giveUp()
	}
}

// Received reports whether all of the body of an HTTP/1.1 request with this context has been read from its client. False where no
// connection of a set is below.
func Received(ctx context.Context) bool {
	c := connectionOf(ctx)
	if c == nil {
		return false
	}
	body := c.body.Load()
	return body == nil || body.ended.Load()
}

// Late reports whether reading what the client sends was ended, by GiveUp or because a body did not come in time. net/http
// ends such a request as if the client had left.
func Late(ctx context.Context) bool {
	c := connectionOf(ctx)
	return c != nil && c.late.Load()
}
