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

// Hits answers requests by their heads alone, below net/http. Goroutines of different connections call Hits
// concurrently, and for each connection one goroutine at a time.
type Hits interface {
	// Answer looks at the first request in sent, and says what the request is. For Answered or Last, Answer has
	// written the whole answer to the client. sent belongs to the caller: Answer does not change the bytes, and
	// nothing refers to them after its return. For Single, Answered and Last, n is how many bytes the request has.
	// With waits, the client may wait for a copy that is not at hand. Without waits, earlier answers are held until
	// Answer returns, and only copies at hand may answer.
	Answer(to io.Writer, client string, sent []byte, waits bool) (n int, what Verdict)
}

// Verdict says what the first request in the bytes of a client means for its connection.
type Verdict uint8

const (
	// Other is a request that may be none of the following. Only net/http can say how it is framed.
	Other Verdict = iota
	// Incomplete is the beginning of a head that may become Single. It has no fault that net/http would answer before
	// the rest comes.
	Incomplete
	// Single is a whole head without content: for every recipient the next request begins behind it.
	Single
	// Answered is a Single that has its answer.
	Answered
	// Last is Answered with an answer that says that the connection ends.
	Last
	// Broken is a Single whose answer could not be written. The connection must be closed.
	Broken
)

// The connection is shared with net/http by the following rules. At a boundary, net/http waits for a request and has
// none of its bytes. There the connection reads in net/http's place, into the buffer of net/http's read, and answers
// as many requests as Hits can. A request that Hits cannot answer goes to net/http.
//
// Invariant: the next byte that net/http is given at a boundary is the first of a request. So net/http gets a Single
// by itself, never with the bytes behind it. The next read of more than one byte is at a boundary again. A read of
// one byte is no boundary: by that read net/http sees a client leave while a handler answers, and a deadline in the
// past breaks the read off. A byte that comes in that read is the first of the next request. The client has sent
// ahead, or has had its answer before net/http broke the read off. The connection keeps the byte in ahead, like the
// bytes behind a Single, and does not give the byte to net/http. Behind any verdict but Single the connection cannot
// see a boundary, and net/http has the connection for good.

// pieces bounds how many reads a head may take here. After each read the head is parsed from its beginning.
const pieces = 8

// shared says whose turn it is on a connection: net/http's or Hits's. Only the goroutine that reads uses shared, with
// two exceptions. handled is set by the goroutine of the handler, before net/http reads again. broken is a channel.
type shared struct {
	forGood bool   // net/http has the connection from here on
	given   bool   // net/http has a Single
	handled bool   // the handler of that Single has ended
	peer    string // the client's address, as net/http writes it; empty: not asked yet
	// broken has a token when a read of one byte is broken off, or the connection is closed; nil: the set has no Hits
	broken chan struct{}
}

// Values of connection.answering: whether Hits is writing an answer that net/http does not know of.
const (
	notAnswering int32 = iota
	answering
	closeAfter // net/http has closed the connection meanwhile, because it looks idle
)

// errAnswered ends a connection that was closed while Hits answered, whose answer could not be written, or whose
// answer was the last. net/http takes a *net.OpError of a read for the end of the connection. To any other error of a
// first request, net/http would write an answer, possibly behind a part of an answer of Hits, and would wait for a
// client that takes nothing.
var errAnswered = &net.OpError{Op: "read", Err: errors.New("the connection ends with an answer")}

// next reads for net/http. Before that, next answers the requests that Hits can answer.
func (c *connection) next(p []byte) (int, error) {
	s := &c.shared
	switch {
	case s.given && len(p) == 1:
		return 0, c.watch(p)
	case s.given && !s.handled, len(p) < leastBuffer:
		// net/http reads more before the handler has had the Single, or has no room for a head: this code does not
		// know its state.
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
		case filled >= begunBy || filled > 0 && !c.served.Load(): // net/http answers the part, and meets the same end
			s.forGood = true
			return wait.give(p[:filled])
		default:
			return 0, err
		}
	}
}

// single prepares a Single of n bytes for net/http, keeps the bytes behind the Single in ahead, and returns n.
func (c *connection) single(sent []byte, n int) int {
	if n < len(sent) {
		c.ahead = append(bytes.Clone(sent[n:]), c.ahead...)
	}
	select {
	case <-c.shared.broken: // the token of an earlier read
	default:
	}
	return n
}

// watch is net/http's read of one byte while a handler answers. watch returns when the client leaves, or when the
// read is broken off. When the client has sent ahead, neither watch nor net/http would see the client leave.
func (c *connection) watch(p []byte) error {
	if len(c.ahead) == 0 {
		select {
		case <-c.shared.broken: // an old token: its deadline ends the read, too
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
	default: // broken has a token already, or is nil
	}
}

// leastBuffer is the least room for a head, in bytes. net/http's buffer has 4 KiB.
const leastBuffer = 2 << 10

// hit has Hits answer the first request in sent, if Hits can.
func (c *connection) hit(sent []byte) (n int, what Verdict) {
	if c.all.closing.Load() { // net/http's answer has to say Connection: close
		return 0, Other
	}
	if c.atWork.Add(1) > takenOver {
		return 0, Broken // the connection was closed while the request came in
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

// hitsInRow is hit for a client that sends further requests without waiting for answers. Answers that can be given
// one after the other go out together. Otherwise the client would be woken for each, which costs several times as
// much as the answer.
func (c *connection) hitsInRow(sent []byte) (n int, what Verdict) {
	out := rows.Get().(*row)
	out.to = c
	defer func() {
		*out = row{held: out.held[:0]}
		rows.Put(out)
	}()
	for n < len(sent) && (n == 0 || !c.all.closing.Load()) {
		length, one := c.all.hits.Answer(out, c.shared.peer, sent[n:], n == 0)
		if one == Broken {
			out.flush() // the answers before this one are whole
			return length, one
		}
		if one != Answered && one != Last && n == 0 {
			return length, one
		}
		if one != Answered && one != Last {
			break // next looks at this request once more, by itself
		}
		n += length
		if what = one; what == Last {
			break // requests behind the last get no answer
		}
	}
	if out.flush(); out.err != nil {
		return 0, Broken
	}
	return n, what
}

// row gathers answers that go out together.
type row struct {
	to   io.Writer
	held []byte
	err  error
}

// rowSize bounds the answers that wait for later ones, in bytes.
const rowSize = 32 << 10

var rows = sync.Pool{New: func() any { return &row{held: make([]byte, 0, rowSize)} }}

// Write implements io.Writer. The bytes that Write has taken may wait in held.
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

// waiting is the wait for a request, with the deadlines that net/http would set for the requests that Hits answers.
type waiting struct {
	c    *connection
	last time.Time // when Hits last gave an answer; zero: not yet, and net/http's deadline is in force
	// headBy is when a head that has begun must be there, in Unix nanoseconds; 0: no head has begun, or net/http's
	// deadline bounds it
	headBy int64
	pieces int // reads of that head
}

func (w *waiting) answered(at time.Time) { w.last, w.headBy, w.pieces = at, 0, 0 }

// begunBy is how many bytes net/http takes for the beginning of a head, behind a connection's first. With fewer bytes
// net/http goes on waiting as with none, whatever they are: an empty line that a client sends behind its request is
// no faulty request.
const begunBy = 4

// leastLooked returns how many bytes there must be before net/http would look at them.
func (c *connection) leastLooked() int {
	if c.served.Load() {
		return begunBy
	}
	return 1
}

// begun notes, before a read, that filled bytes of a head are there. When a head has begun, begun sets its deadline.
// It reports false when the deadline cannot be set: the connection is closed.
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

// longer reports whether the client has more time than the deadline that has passed, and sets the later deadline.
// Each answer begins the wait for the next request anew. To set a deadline with each answer would cost more than this
// look after a deadline has passed.
func (w *waiting) longer() bool {
	if w.last.IsZero() || w.headBy != 0 {
		return false
	}
	by := w.last.Add(w.c.all.limits.IdleTimeout)
	return time.Now().Before(by) && w.c.Conn.SetReadDeadline(by) == nil
}

// give hands the bytes over to net/http. net/http sets the deadline of a connection's first head when the connection
// begins, and no other before the first request that it sees. So where Hits has answered before, give sets the
// deadline of this head.
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
	if err := c.inspect(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetReadDeadline sets a deadline of the layers above. When a head had begun before net/http got it, net/http would
// give the client a full ReadHeaderTimeout again. headBy limits the deadline to the time that was left.
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

// endUnseen closes idle connections of which net/http has seen no request. http.Server.Shutdown would wait for their
// first request.
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
