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

// collected is up to which length a request's body is received before anything is asked of the origin, in bytes: a client
// that sends slowly then holds none of the places there.
const collected = 16 << 10

// receive keeps a request's body within the limit and takes in a short one, and the question of a read that carries it there.
// The refusal is nil where the request may go on.
func (ex *exchange) receive() *refusal {
	r, limit := ex.r, ex.cfg.MaxBody
	there := r.ContentLength != 0 && r.Body != nil
	silent := server.Silent(r) && ex.route.Origin.Converses()
	switch {
	case !there:
	case ex.unheld():
		server.Unbound(r)
	case !silent:
		server.Bound(r) // one that only says that it is a call has no reason to be silent
	}
	if there {
		if limit > 0 {
			if r.ContentLength > limit {
				return &bodyTooLarge
			}
			r.Body = http.MaxBytesReader(ex.w.ResponseWriter, r.Body, limit)
		}
		ex.gathered = gathered{budget: ex.p.store.Memory().Budget(), client: upstream.ClientOf(ex.asker()), body: r.Body}
		// Else it is a conversation, or the origin's word comes first, or it is too much to hold, or no place is held while it comes.
		if r.ContentLength <= collected && r.Header["Expect"] == nil && !silent && !ex.unheld() {
			// Where there is no room it is sent as it comes, and so is one of unknown length that does not come at once.
			if r.ContentLength < 0 {
				ex.gathered.patience = gatherTime
			}
			if err := ex.gather(collected); err != nil && !errors.Is(err, errNoRoom) && !errors.Is(err, errLate) {
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

// gathered is what was received of a request's body before it was known what becomes of the request. The zero value is that of a
// request without one.
//
// Every byte of it is in the budget: clients who send all but the last byte take no more memory than bodies may have together, and one
// leaves something to others.
type gathered struct {
	budget *store.Budget
	client netip.Prefix  // on whose account its memory is
	body   io.ReadCloser // what follows; nil: there is no body
	read   []byte        // shared with everybody who reads the body again; never changed, and not nil once it is whole
	whole  bool          // nothing follows
	late   bool          // it has not come in time
	room   *store.Room   // for read; nil: none was needed
	// patience is for how long the body is waited for; zero: for as long as the server waits.
	patience time.Duration
}

// gatherTime is how long a body of unknown length is waited for before its request asks for a place. One that takes longer may be one half
// of a conversation, whose other half comes from the origin; whoever is silent all the same gives the place away (upstream's sending).
const gatherTime = time.Second

// errLate means that a body has not come whole in time.
var errLate = errors.New("read request body: it does not come at once")

// lateBody is a body of which a read was under way when nobody wanted to wait for it any more. It is for one reader.
type lateBody struct {
	io.ReadCloser
	pending <-chan arrival // of that read; nil: it has been taken
	rest    []byte         // of what it brought
	err     error          // likewise
}

type arrival struct {
	bytes []byte
	err   error
}

func (b *lateBody) Read(p []byte) (int, error) {
	if b.pending != nil {
		came := <-b.pending // it ends with the request: the server sees to that
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

// readWithin reads into p what comes before the deadline, by a goroutine that the end of the request ends at the latest. Without a
// deadline it waits.
func (g *gathered) readWithin(deadline <-chan time.Time, p []byte) (int, error) {
	if deadline == nil {
		return g.body.Read(p)
	}
	pending, body := make(chan arrival, 1), g.body
	go func() {
		came := make([]byte, len(p))
		n, err := body.Read(came)
		pending <- arrival{came[:n], err}
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

// errNoRoom means that the bodies of requests hold all the memory they may, or those of the client all that one may.
var errNoRoom = errors.New("read request body: no memory is left for the bodies of requests")

// gather receives the request's body until it is whole or longer than most. Whatever it returns, the body can be read from its
// beginning afterwards.
func (ex *exchange) gather(most int64) error {
	g := &ex.gathered
	if g.body == nil {
		g.whole, g.read = true, []byte{}
		return nil
	}
	err := g.upTo(most)
	switch {
	case g.whole:
		ex.r.Body = io.NopCloser(bytes.NewReader(g.read)) // and not http.NoBody: an empty one may have been in chunks
	case len(g.read) > 0 || errors.Is(err, errLate):
		ex.r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(g.read), g.body), g.body}
	}
	return err
}

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

// leastGathered is how much room a body has at first, in bytes.
const leastGathered = 512

// grow makes room for twice as much, but no more than most bytes. It reports false where there is none.
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

// refuseUnread refuses a request whose body is not read to its end. Over HTTP/1.1 the connection ends too, since net/http would wait for the
// body before it answers.
func refuseUnread(ex *exchange, r refusal) {
	if ex.r.ProtoMajor == 1 {
		ex.w.Header()["Connection"] = []string{"close"}
	}
	ex.refuse(r)
}

// bodyRefusal is what a client is told whose request body could not be read.
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
