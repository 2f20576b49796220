package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// maxGatheredAhead is the length, in bytes, up to which a request's body is received before the request asks for a
// place at the origin. A client that sends slowly then holds no place meanwhile.
const maxGatheredAhead = 16 << 10

// receive bounds the request's body by MaxBody, and receives a short body and the content of a read with content ahead.
// The refusal is nil if the request may go on.
func (ex *exchange) receive() *refusal {
	r, limit := ex.r, ex.cfg.MaxBody
	there := r.ContentLength != 0 && r.Body != nil
	silent := server.Silent(r) && ex.route.Origin.Converses()
	switch {
	case !there:
	case ex.unheld():
		server.Unbound(r)
	case !silent:
		server.Bound(r) // the upstream takes no gRPC calls, so that the client has no reason to be silent
	}
	if there {
		if limit > 0 {
			if r.ContentLength > limit {
				return &bodyTooLarge
			}
			r.Body = http.MaxBytesReader(ex.w.ResponseWriter, r.Body, limit)
		}
		ex.gathered = gathered{budget: ex.p.store.Memory().Budget(), client: upstream.ClientOf(ex.asker()), body: r.Body}
		// A body is not received ahead in four cases. The body is too long. The client waits for a 100 that the origin
		// decides about. The body may be one half of a conversation. The request holds no place while the body comes.
		if r.ContentLength <= maxGatheredAhead && r.Header["Expect"] == nil && !silent && !ex.unheld() {
			// A body for which there is no memory, or of unknown length and not there in gatherTime, is sent on as
			// received.
			if r.ContentLength < 0 {
				ex.gathered.patience = gatherTime
			}
			if err := ex.gather(maxGatheredAhead); err != nil && !errors.Is(err, errNoRoom) && !errors.Is(err, errLate) {
				return bodyRefusal(err)
			}
		}
	}
	if ex.reason != policy.NoReason { // no route
		return nil
	}
	var err error
	if ex.content, err = ex.readContent(); err != nil && !(errors.Is(err, errNoRoom) && ex.letBy()) {
		return bodyRefusal(err)
	}
	return nil
}

// gathered is the part of a body that is received into memory before the body is sent on. The zero value stands for a
// request without a body.
//
// The memory is counted in the budget. So clients that send all of a body but the last byte take no more memory than
// all request bodies together may have, and one client cannot take the whole budget.
type gathered struct {
	budget *store.Budget
	client netip.Prefix  // to whose account the memory is charged
	body   io.ReadCloser // the rest of the body; nil: there is no body
	read   []byte        // the received bytes; shared by all readers, never changed, and not nil once whole is set
	whole  bool          // read is the whole body
	late   bool          // the body has not come within patience
	room   *store.Room   // the memory of read; nil: none was needed
	// patience is for how long the next upTo waits for the body; zero: for as long as the server allows.
	patience time.Duration
}

// gatherTime is how long the proxy waits for a body of unknown length before the request asks for a place. A body that
// takes longer may be one half of a conversation whose other half comes from the origin. If the client is just silent,
// the request gives the place away (package upstream, sending).
const gatherTime = time.Second

// errLate means that a body has not come whole in time.
var errLate = errors.New("read request body: it does not come at once")

// lateBody is a body of which a Read was still under way when readWithin gave up waiting. The first Read of a lateBody
// waits for that pending Read. A lateBody is for one reader.
type lateBody struct {
	io.ReadCloser
	pending <-chan readResult // result of the pending Read; nil: the result was received
	rest    []byte            // bytes of that result that were not returned yet
	err     error             // error of that result
}

// readResult is the result of a Read on another goroutine.
type readResult struct {
	bytes []byte
	err   error
}

func (b *lateBody) Read(p []byte) (int, error) {
	if b.pending != nil {
		came := <-b.pending // the server ends every Read of a body at the end of its request
		b.pending, b.rest, b.err = nil, came.bytes, came.err
	}
	if n := copy(p, b.rest); n > 0 {
		b.rest = b.rest[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.ReadCloser.Read(p)
}

// readWithin is Read of the body, given up at the deadline with errLate; nil: never. The Read runs on a goroutine of
// its own, which ends with the request at the latest. After the deadline, g.body is a lateBody, which returns the
// result of that Read first.
func (g *gathered) readWithin(deadline <-chan time.Time, p []byte) (int, error) {
	if deadline == nil {
		return g.body.Read(p)
	}
	pending, body := make(chan readResult, 1), g.body
	go func() {
		came := make([]byte, len(p))
		n, err := body.Read(came)
		pending <- readResult{came[:n], err}
	}()
	select {
	case came := <-pending:
		return copy(p, came.bytes), came.err
	case <-deadline:
		g.late = true
		g.body = &lateBody{ReadCloser: body, pending: pending}
		return 0, errLate
	}
}

// errNoRoom means that the bodies of all requests, or those of this client, have all the memory that they may have.
var errNoRoom = errors.New("read request body: no memory is left for the bodies of requests")

// gather receives the request's body until the body is whole or longer than most bytes. Also after an error, ex.r.Body
// can be read from the beginning. The error is errNoRoom, errLate or an error of reading the body.
func (ex *exchange) gather(most int64) error {
	g := &ex.gathered
	if g.body == nil {
		g.whole, g.read = true, []byte{}
		return nil
	}
	err := g.upTo(most)
	switch {
	case g.whole:
		ex.r.Body = io.NopCloser(bytes.NewReader(g.read)) // not http.NoBody: an empty body may have come in chunks
	case len(g.read) > 0 || errors.Is(err, errLate):
		ex.r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(g.read), g.body), g.body}
	}
	return err
}

// upTo receives the body until the body is whole or longer than most bytes. upTo is gather without the request.
func (g *gathered) upTo(most int64) error {
	var deadline <-chan time.Time
	if g.patience > 0 {
		timer := time.NewTimer(g.patience)
		defer timer.Stop()
		deadline, g.patience = timer.C, 0
	}
	for !g.whole && int64(len(g.read)) <= most {
		if len(g.read) == cap(g.read) && !g.grow(most+1) {
			return errNoRoom
		}
		n, err := g.readWithin(deadline, g.read[len(g.read):min(int64(cap(g.read)), most+1)])
		g.read = g.read[:len(g.read)+n]
		switch {
		case err == io.EOF:
			g.whole = true
			return g.body.Close()
		case err != nil:
			return err
		}
	}
	return nil
}

// leastGathered is the first size of the buffer for a body, in bytes.
const leastGathered = 512

// grow makes the buffer twice as long, but no longer than most bytes. grow reports false if no memory is left.
func (g *gathered) grow(most int64) bool {
	if g.room == nil {
		g.room = g.budget.Room(g.client)
	}
	next := min(max(leastGathered, 2*int64(cap(g.read))), most)
	if !g.room.Grow(next - int64(cap(g.read))) {
		return false
	}
	g.read = append(make([]byte, 0, next), g.read...)
	return true
}

var (
	bodyTooLarge = refusal{http.StatusRequestEntityTooLarge, policy.TooLarge, "the request body is larger than allowed"}
	noRoom       = refusal{http.StatusServiceUnavailable, policy.MemoryFull, "the bodies of requests, or those of this client, take all the memory that they may, try again"}
)

// refuseUnread refuses a request whose body was not read to its end. Over HTTP/1.1 the connection is closed after the answer: otherwise net/http
// would read the rest of the body before it sends the answer.
func refuseUnread(ex *exchange, r refusal) {
	if ex.r.ProtoMajor == 1 {
		ex.w.Header()["Connection"] = []string{"close"}
	}
	ex.refuse(r)
}

// bodyRefusal is the answer to a request whose body could not be read because of err.
func bodyRefusal(err error) *refusal {
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return &bodyTooLarge
	case errors.Is(err, errNoRoom):
		return &noRoom
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{http.StatusRequestTimeout, policy.RequestBody, "the request body did not come any further"}
	default:
		return &refusal{http.StatusBadRequest, policy.RequestBody, "the request body broke off or is malformed"}
	}
}
