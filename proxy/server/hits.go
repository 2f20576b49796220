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

// Hits answers requests by their heads alone, below net/http. It must be safe for concurrent use; for one connection it is called by one goroutine at
// a time.
type Hits interface {
	// Answer looks at the first request in sent, answers it if it can, and returns a Verdict. With Answered or Last, the whole answer was
	// written to to. n is the length of the request in bytes, with Answered, Last and Single. sent belongs to the caller: Answer must neither
	// change it nor refer to it after it returns. client is the client's address as IP:port. With waits, Answer may block for a copy that is
	// not in memory; without, it must not, since answers to earlier requests are held back until it returns.
	Answer(to io.Writer, client string, sent []byte, waits bool) (n int, what Verdict)
}

// Verdict says what the first bytes that a client has sent are, and what Hits has done about them.
type Verdict uint8

const (
	// Other is anything that is none of the following. Only net/http can say how it is framed.
	Other Verdict = iota
	// Incomplete is the beginning of a head that may become Single, without a fault that net/http would answer before the rest has come.
	Incomplete
	// Single is a complete request without content: every recipient takes the byte after it for the first of the next request.
	Single
	// Answered is a Single that was answered.
	Answered
	// Last is a Single that was answered with Connection: close.
	Last
	// Broken is a Single whose answer could not be written. The connection must be closed.
	Broken
)

// This is how a connection is shared between Hits and net/http. The connection is at a boundary when net/http waits for a request and has none of its
// bytes. There the connection reads into net/http's buffer and has Hits answer as many requests as it can; other requests are given to net/http.
//
// Invariant: the next byte that net/http gets at a boundary is the first of a request. So net/http gets a Single by itself, never with bytes that
// follow it, and is at a boundary again when it next reads more than one byte. While a handler runs, net/http reads one byte, to notice that the
// client leaves, and breaks that read off with a deadline in the past. If a byte comes to that read, because the client pipelines, or has its answer
// before the read is broken off, it is the first byte of the next request. It is kept here, like bytes that came with the Single, and not given to
// net/http. After anything but a Single, the next boundary cannot be seen from here, and the connection is net/http's for good.

// pieces is in how many reads a head may come. After each read, it is parsed from its beginning.
const pieces = 8

// shared says whether Hits or net/http reads next from a connection. It belongs to the reading goroutine.
type shared struct {
	forGood bool   // net/http has the connection for good
	given   bool   // net/http has a Single
	handled bool   // the handler of that Single has returned
	peer    string // the client's address, as net/http writes it; empty: not asked for yet
	// broken receives when a read of one byte is broken off, or the connection is closed; it has room for one. Nil: there is no Hits.
	broken chan struct{}
}

// Values of connection.answering: whether Hits is writing an answer, which net/http does not know of.
const (
	notAnswering int32 = iota
	answering
	closeAfter // and net/http has closed the connection, which it takes to be idle: the connection is closed after the answer
)

// errAnswered is returned to net/http to end a connection that was closed while Hits answered, whose answer was the last, or could not be written.
// net/http takes it for the end of the connection. It would answer any other error of a first request with 400: after a part of an answer, and to
// a client that may take nothing.
var errAnswered = &net.OpError{Op: "read", Err: errors.New("the connection ends with an answer")}

// next is Read at a boundary: it has Hits answer requests, and returns bytes only for net/http to handle.
func (c *connection) next(p []byte) (int, error) {
	s := &c.shared
	switch {
	case s.given && len(p) == 1:
		return 0, c.watch(p)
	case s.given && !s.handled, len(p) < leastBuffer:
		// net/http reads more before the handler of the Single has returned, or has a buffer too small for a head. It does not behave as
		// this code assumes, and gets the connection for good.
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

// single prepares to give net/http a Single of n bytes: the bytes that follow it are kept for later. It returns n.
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

// watch is net/http's read of one byte while a handler runs: it returns an error when the client leaves, or when the read is broken off. If bytes of
// the next request have come already, it cannot tell that the client leaves, just as net/http could not.
func (c *connection) watch(p []byte) error {
	if len(c.ahead) == 0 {
		select {
		case <-c.shared.broken: // of a deadline in the past, which makes the Read below fail too
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

// breakOff ends a watch that has received a byte.
func (c *connection) breakOff() {
	select {
	case c.shared.broken <- struct{}{}:
	default: // the channel has a token already, or is nil
	}
}

// leastBuffer is the least room for a head, in bytes; net/http has 4 KiB.
const leastBuffer = 2 << 10

// hit has Hits answer the first request in sent, or the first few, if it can. n and what are as for Hits.Answer.
func (c *connection) hit(sent []byte) (n int, what Verdict) {
	if c.all.closing.Load() { // the answer has to say so
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

// hitsInRow is hit for a client that pipelines: consecutive answers are written together. Written one by one, each would wake the client, which costs
// several times as much as the answer itself.
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
			break // next calls hit for it again, when it is the first
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

// row buffers answers that are written together.
type row struct {
	to   io.Writer
	held []byte
	err  error
}

// rowSize is how many bytes of answers are buffered at most.
const rowSize = 32 << 10

var rows = sync.Pool{New: func() any { return &row{held: make([]byte, 0, rowSize)} }}

// Write implements io.Writer. Bytes that it counts as written may still be buffered.
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

// waiting is the wait for a request in next, with the deadlines that net/http would set if it saw the requests that Hits answers.
type waiting struct {
	c      *connection
	last   time.Time // when Hits has answered the last request; zero: none in this call of next, so that net/http's deadline is in force
	headBy int64     // deadline of a head that has begun, in Unix nanoseconds; 0: none has begun, or net/http's deadline is in force
	pieces int       // in how many reads that head has come so far
}

func (w *waiting) answered(at time.Time) { w.last, w.headBy, w.pieces = at, 0, 0 }

// begunBy is from how many bytes on net/http takes a head to have begun, except the first of a connection. With fewer bytes it goes on waiting as if
// there were none, so that an empty line after a request is not taken for a malformed request.
const begunBy = 4

// leastLooked is from how many bytes on net/http would parse them.
func (c *connection) leastLooked() int {
	if c.served.Load() {
		return begunBy
	}
	return 1
}

// begun notes that filled bytes of a head are there and more are to be read, and sets the deadline of the head. It reports false if the deadline
// cannot be set.
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

// longer is called when the read deadline has passed. It reports whether the connection may still be idle, and then sets the deadline anew: the idle
// time counts from the last answer, but setting a deadline after each answer would cost more than checking here.
func (w *waiting) longer() bool {
	if w.last.IsZero() || w.headBy != 0 {
		return false
	}
	by := w.last.Add(w.c.all.limits.IdleTimeout)
	return time.Now().Before(by) && w.c.Conn.SetReadDeadline(by) == nil
}

// give returns the bytes to net/http. net/http sets the deadline of a head only before it reads; if Hits has answered requests since, that deadline is
// out of date, so that give sets it anew.
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

// SetReadDeadline sets the read deadline of net/http. If a head had begun before net/http got the connection, its deadline (headBy) is not extended.
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

// endUnseen closes idle connections of which net/http has seen no request. http.Server.Shutdown takes them for new ones, and would wait for their
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
