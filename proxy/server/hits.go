package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Hits answers requests by their heads alone, below net/http. It is called concurrently, for one connection by one goroutine at a time.
type Hits interface {
	// Answer looks at the first request in what a client has sent, and says what it is. Where that is Answered or Last, all of the answer was
	// written to the client. The bytes belong to the caller: they are not changed, and nothing refers to them any more when it returns.
	// n is how many of them the request has, if it is one of these or Single. With waits, the client may wait for a copy that is not at hand;
	// without, what was written for others waits for this answer, and it comes from what is.
	Answer(to io.Writer, client string, sent []byte, waits bool) (n int, what Verdict)
}

// Verdict is what the first request of what a client has sent is to its connection.
type Verdict uint8

const (
	// Other is whatever is not known to be one of the following: how it is framed is for net/http to say.
	Other Verdict = iota
	// Incomplete is the beginning of what may become Single. It has no fault at which net/http would answer before the rest is there.
	Incomplete
	// Single is a whole head that nothing follows: the next request begins behind it, for every recipient.
	Single
	// Answered is a Single that has its answer.
	Answered
	// Last is Answered, and the answer says that the connection ends with it.
	Last
	// Broken is a Single whose answer could not be written: the connection is of no use.
	Broken
)

// What follows is how a connection is shared with net/http. At a boundary net/http waits for a request and has none of its bytes. There
// the connection reads in its place, into its own buffer, and answers as many requests as Hits can. What it cannot is given to net/http.
//
// Invariant: the next byte that net/http is given at a boundary is the first of a request. So it gets a Single by itself, never with what
// follows, and then is at a boundary again when it reads more than one byte. Its read of one byte is that by which it sees a client
// leave while it answers, and which it breaks off with a deadline in the past. A byte that comes then is the first of the next request, of a
// client that is ahead, or has its answer before that read was broken off: it is kept here, like what came with the Single, and not given away. Behind anything but a Single there is no boundary
// that could be seen from here: the connection is net/http's for good.

// pieces is how many reads a head may take that is looked at from its beginning after each.
const pieces = 8

// shared is the part of a connection that says whose turn it is. It belongs to whoever reads.
type shared struct {
	forGood bool   // net/http has the connection from here on
	given   bool   // net/http has a Single
	handled bool   // and its handler has ended
	peer    string // the client's address, as net/http writes it; empty: not asked yet
	// broken has a token when a read of one byte is broken off, or the connection is closed; nil: there is no Hits
	broken chan struct{}
}

// Whether an answer is being written that net/http knows nothing of.
const (
	notAnswering int32 = iota
	answering
	closeAfter // and it was told to close the connection, which it takes to be idle
)

// errAnswered ends a connection that was closed while Hits answered, whose answer could not be written, or was the last. It is what net/http takes for
// the end of a connection: any other error of a first request it answers, behind part of an answer, and waits for a client to take that
// which takes nothing.
var errAnswered = &net.OpError{Op: "read", Err: errors.New("the connection ends with an answer")}

// next reads for net/http, and answers before that what Hits can.
func (c *connection) next(p []byte) (int, error) {
	s := &c.shared
	switch {
	case s.given && len(p) == 1:
		return 0, c.watch(p)
	case s.given && !s.handled, len(p) < leastBuffer:
		// It reads more before the handler has had what was given, or has no room for a head: its ways are not the expected ones.
		s.forGood = true
		return c.receive(p)
	}
	s.given = false
	filled := copy(p, c.ahead)
	c.ahead = c.ahead[filled:]
	wait := waiting{c: c}
	for {
		for what := Answered; filled >= c.leastLooked() && what != Incomplete; {
			n := 0
			if n, what = c.hit(p[:filled]); what == Broken || what == Last {
				return 0, errAnswered
			}
			if what == Answered {
				wait.answered(time.Unix(0, c.since.Load()))
				filled = copy(p, p[n:filled])
			} else if what != Incomplete || wait.pieces >= pieces || filled == len(p) || len(c.ahead) > 0 {
				if what == Single {
					filled = c.single(p[:filled], n)
				}
				s.given = what == Single
				s.forGood, s.handled = !s.given, false
				return wait.give(p[:filled])
			}
		}
		if !wait.begun(filled) {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := c.Conn.Read(p[filled:])
		filled += n
		switch {
		case n > 0 || err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && wait.longer():
		case filled >= begunBy || filled > 0 && !c.served.Load(): // net/http answers it, and meets the same end
			s.forGood = true
			return wait.give(p[:filled])
		default:
			return 0, err
		}
	}
}

// single has a Single of n bytes given to net/http, and keeps what follows it.
func (c *connection) single(sent []byte, n int) int {
	if n < len(sent) {
		c.ahead = append(bytes.Clone(sent[n:]), c.ahead...)
	}
	select {
	case <-c.shared.broken: // of an earlier read
	default:
	}
	return n
}

// watch waits until the client leaves, or nobody wants to know. Of a client that is ahead net/http would not see either that it leaves.
func (c *connection) watch(p []byte) error {
	if len(c.ahead) == 0 {
		select {
		case <-c.shared.broken: // it comes with a deadline, which the read meets
		default:
		}
		if n, err := c.Conn.Read(p); n == 0 {
			return err
		}
		c.ahead = append(c.ahead, p[0])
	}
	<-c.shared.broken
	return os.ErrDeadlineExceeded
}

// breakOff ends a watch that has a byte.
func (c *connection) breakOff() {
	select {
	case c.shared.broken <- struct{}{}:
	default: // there is a token, or nobody for it
	}
}

// leastBuffer is the least room for a head, in bytes; net/http has 4 KiB.
const leastBuffer = 2 << 10

// hit has the first request of what was sent answered, if that can be.
func (c *connection) hit(sent []byte) (n int, what Verdict) {
	if c.all.closing.Load() { // the answer has to say so
		return 0, Other
	}
	if c.atWork.Add(1) > taken {
		return 0, Broken // it was closed while the request came in
	}
	c.answering.Store(answering)
	defer func() {
		if what == Answered || what == Last {
			c.since.Store(time.Now().UnixNano())
			if !c.served.Load() {
				c.served.Store(true)
				c.unseen.Store(true)
			}
		}
		c.atWork.Add(-1)
		if c.answering.Swap(notAnswering) == closeAfter {
			_ = c.drop()
			what = Broken
		}
	}()
	if c.shared.peer == "" {
		c.shared.peer = c.RemoteAddr().String()
	}
	if end := bytes.Index(sent, endOfHead); end < 0 || end+len(endOfHead) == len(sent) {
		return c.all.hits.Answer(c, c.shared.peer, sent, true)
	}
	return c.hitsInRow(sent)
}

var endOfHead = []byte("\r\n\r\n")

// hitsInRow is hit for a client that does not wait for its answers: those that can be given one after the other go out together. For each
// by itself the client would be woken, which costs several times as much as the answer.
func (c *connection) hitsInRow(sent []byte) (n int, what Verdict) {
	out := rows.Get().(*row)
	out.to = c
	defer func() {
		*out = row{held: out.held[:0]}
		rows.Put(out)
	}()
	for n < len(sent) && (n == 0 || !c.all.closing.Load()) {
		length, one := c.all.hits.Answer(out, c.shared.peer, sent[n:], n == 0)
		if one == Broken || one != Answered && one != Last && n == 0 {
			return length, one
		}
		if one != Answered && one != Last {
			break // it is looked at once more, by itself
		}
		n += length
		if what = one; what == Last {
			break // what follows gets no answer
		}
	}
	if out.flush(); out.err != nil {
		return 0, Broken
	}
	return n, what
}

// row is answers that go out together.
type row struct {
	to   io.Writer
	held []byte
	err  error
}

// rowSize is how much of answers waits for those that follow, in bytes.
const rowSize = 32 << 10

var rows = sync.Pool{New: func() any { return &row{held: make([]byte, 0, rowSize)} }}

// Write implements io.Writer. What it says was written may still wait.
func (w *row) Write(p []byte) (n int, err error) {
	if len(w.held)+len(p) > rowSize {
		w.flush()
	}
	switch {
	case w.err != nil:
	case len(p) > rowSize:
		n, w.err = w.to.Write(p)
	default:
		w.held, n = append(w.held, p...), len(p)
	}
	return n, w.err
}

func (w *row) flush() {
	if w.err == nil && len(w.held) > 0 {
		_, w.err = w.to.Write(w.held)
	}
	w.held = w.held[:0]
}

// waiting is the wait for a request, with the deadlines that net/http would set if it saw what was answered.
type waiting struct {
	c      *connection
	last   time.Time // when the last request was answered here; zero: none was, and the deadline of net/http is in force
	headBy int64     // until when a head that has begun must be there, in Unix nanoseconds; 0: none has begun, or net/http's deadline says so
	pieces int       // reads of that head
}

func (w *waiting) answered(at time.Time) { w.last, w.headBy, w.pieces = at, 0, 0 }

// begunBy is how many bytes net/http takes for the beginning of a head, behind a connection's first. With fewer it waits as it does with
// none, whatever they are: an empty line that a client sends behind its request is no request that has a fault.
const begunBy = 4

// leastLooked is how many bytes there must be before net/http would look at them.
func (c *connection) leastLooked() int {
	if c.served.Load() {
		return begunBy
	}
	return 1
}

// begun notes that so much of a head is there before more is read. It reports false where the connection cannot be waited for.
func (w *waiting) begun(filled int) bool {
	if filled == 0 {
		return true
	}
	if w.pieces++; w.headBy != 0 || filled < begunBy || !w.c.served.Load() {
		return true
	}
	by := time.Now().Add(w.c.all.limits.ReadHeaderTimeout)
	w.headBy = by.UnixNano()
	return w.c.Conn.SetReadDeadline(by) == nil
}

// longer reports whether there is more time than the deadline that has passed, which is then set anew: each answer begins the wait for the next
// request, and to set a deadline then would cost more than to look when it has passed.
func (w *waiting) longer() bool {
	if w.last.IsZero() || w.headBy != 0 {
		return false
	}
	by := w.last.Add(w.c.all.limits.IdleTimeout)
	return time.Now().Before(by) && w.c.Conn.SetReadDeadline(by) == nil
}

// give hands over to net/http what there is. Before the first request that it sees it sets no deadline, and so one is set here that is not
// that of the connection's first.
func (w *waiting) give(p []byte) (int, error) {
	c := w.c
	c.unseen.Store(false)
	if c.shared.forGood && !w.last.IsZero() {
		by := time.Now().Add(c.all.limits.ReadHeaderTimeout)
		if w.headBy != 0 {
			by = time.Unix(0, w.headBy)
		}
		if err := c.Conn.SetReadDeadline(by); err != nil {
			return 0, err
		}
	}
	if c.shared.forGood {
		c.headBy.Store(w.headBy)
	}
	if err := c.taken(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetReadDeadline sets a deadline of the layers above. What is left of the time for a head that has begun before net/http got it is no
// more for that.
func (c *connection) SetReadDeadline(t time.Time) error {
	if by := c.headBy.Swap(0); by != 0 && t.After(time.Unix(0, by)) {
		t = time.Unix(0, by)
	}
	err := c.Conn.SetReadDeadline(t)
	if !t.IsZero() && t.Before(time.Unix(2, 0)) {
		c.breakOff()
	}
	return err
}

// endUnseen closes the connections of which net/http has seen no request, and that have none: it would wait for their first.
func (c *Connections) endUnseen() {
	var unseen []*connection
	c.mu.Lock()
	for conn := range c.open {
		if conn.unseen.Load() {
			unseen = append(unseen, conn)
		}
	}
	c.mu.Unlock()
	for _, conn := range unseen {
		if conn.unseen.Load() && conn.take() {
			_ = conn.drop()
		}
	}
}
