package fill

import (
	"context"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"

	"cacheproxy/invalidation"
	"cacheproxy/lockorder"

	"golang.org/x/sync/singleflight"
)

// flightShards is the number of shards, each with a lock, over which keys spread the flights.
const flightShards = 64

// result carries the Response of a flight.
type result = singleflight.Result

// flights coalesces fetches. Of the requests for one key, the first leads a flight and the others wait for the
// flight's answer. A flight does not end with any of its requests: the fetch has a context of its own. Until the
// header of the answer has come, requests wait in singleflight. From then on until the copy is stored, requests that
// may join get the published response.
type flights struct {
	ledger *invalidation.Ledger
	start  func(*flight, *Request) Response // fetches the request of a flight's leader
	opened atomic.Uint64
	seed   maphash.Seed
	shards [flightShards]flightShard
}

// flightShard is the flights of some of the keys. Look-ups and work on headers run outside its lock. The locks of
// group and of the ledger are taken under this lock; this lock is taken under no other.
type flightShard struct {
	group singleflight.Group

	mu lockorder.Mutex[lockorder.Flights]
	// open is the flights by flight key; guarded by mu. A flight is removed when its copy is stored, or will not be
	open map[string]*flight
}

// flight is one fetch that requests may join.
type flight struct {
	shard *flightShard // a flight that nobody can join has a shard of its own, without a map
	key   string
	// call is the flight's key in the group. The key is unique, so that a replaced flight goes on for the requests
	// that wait for that flight
	call  string
	known []invalidation.ID // members known before the answer

	request chan *Request // gets the request to be fetched, once
	once    sync.Once     // of brought
	brought Response      // meaningful once once is done

	hints chan hint // set by the leading request before the fill begins; nil: informational responses are not wanted
	// after is closed when the flight before has its answer, the one that this flight replaced and waits for; nil:
	// this flight waits for none
	after <-chan struct{}

	// The lock of the shard guards the fields below. The fill writes sent and token when the fill sends a request.
	// The fill writes response and published once, when the header of the answer has come. Requests write waiters as
	// they join and leave. A request that replaces the flight writes answered. The leading request writes left in desert,
	// and the fill writes begun in begin. orphaned and running.end write adopted. All of them read.
	answered chan struct{} // closed when the response is published; nil: no flight waits for that
	waiters  int
	left     bool     // the leading request does not wait for the answer any more
	begun    *running // the fill; nil: not yet
	// adopted: no request waits for the fill, which goes on all the same and is counted by Upstream.Adopt; see
	// orphaned
	adopted   bool
	sent      bool               // the request is on its way to the origin
	token     invalidation.Token // taken just before sending; meaningful once sent
	published bool
	response  *Response // set when the flight is published and stays open; never changes
}

func (fs *flights) init(ledger *invalidation.Ledger, start func(*flight, *Request) Response) {
	fs.ledger, fs.start, fs.seed = ledger, start, maphash.MakeSeed()
	for i := range fs.shards {
		fs.shards[i].open = make(map[string]*flight)
	}
}

func (fs *flights) shard(key string) *flightShard {
	return &fs.shards[maphash.String(fs.seed, key)%flightShards]
}

// join joins the open flight of a key. If the key has no flight that the request may join, join opens a flight. Then
// lead is not nil, and the caller leads. The leader must send on lead exactly once, whatever happens: the request to
// be fetched, or nil for nothing to fetch. The leader must also call ask. Until then the requests that have joined
// wait, and others may join.
//
// A flight that replaces another may be opened by a request without a lease, or while a write is under way. Such a
// flight goes to the origin only when the flight before has its answer. Requests that come meanwhile join the waiting
// flight. So for each key one flight is under way, and at most one waits.
func (fs *flights) join(j Joiner) (t Ticket, lead chan<- *Request) {
	s := fs.shard(j.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.open[j.Key]
	late := before != nil && (j.LeaseLost || fs.ledger.Fenced(j.Known))
	if f := before; f != nil && fs.joinable(f, late) {
		switch {
		case f.published:
			return Ticket{Role: Joined, flight: f, response: f.response}, nil
		case f.waiters >= j.MaxWaiters:
			return Ticket{Role: Full}, nil
		}
		f.waiters++
		return Ticket{Role: Joined, flight: f, result: s.group.DoChan(f.call, func() (any, error) { return fs.answer(f), nil })}, nil
	}
	f := &flight{
		shard: s, key: j.Key, call: strconv.FormatUint(fs.opened.Add(1), 36), known: j.Known,
		request: make(chan *Request, 1),
	}
	if late {
		f.after = before.end()
	}
	s.open[j.Key] = f
	return Ticket{Role: Leads, flight: f}, f.request
}

// ask sends the answer of a flight on results. ask blocks until the answer has come, and must not run on a client's
// goroutine.
func (fs *flights) ask(f *flight, results chan<- result) {
	v, err, shared := f.shard.group.Do(f.call, func() (any, error) { return fs.answer(f), nil })
	results <- result{Val: v, Err: err, Shared: shared}
}

// answer fetches the answer of a flight, once. All requests of the flight call answer through the group. The group
// calls answer a second time for a call that comes after the first has returned. This happens when the leader's
// goroutine is scheduled only after others have joined and got their answer. The late call gets the same answer.
func (fs *flights) answer(f *flight) *Response {
	f.once.Do(func() { f.brought = fs.start(f, <-f.request) })
	return &f.brought
}

// alone opens a flight that nobody can join. The caller must send the response on results.
func (fs *flights) alone(key string, known []invalidation.ID) (t Ticket, results chan<- result) {
	c := make(chan result, 1)
	return Ticket{Role: Leads, flight: &flight{shard: &flightShard{}, key: key, known: known}, result: c}, c
}

// send takes the token, right before the request is sent to the origin. The answer may lack changes that are
// invalidated after the token.
func (fs *flights) send(f *flight) invalidation.Token {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.token, f.sent = fs.ledger.Token(), true
	return f.token
}

// publish publishes the response. If open, later requests that join get the response; otherwise publish closes the
// flight.
func (f *flight) publish(res Response, open bool) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if !f.published && f.answered != nil {
		close(f.answered)
	}
	if f.published = true; open {
		kept := res // &res would move the parameter to the heap in every call
		f.response = &kept
		return
	}
	f.remove()
}

// end returns a channel that is closed when the response is published; nil: the response is published already. The
// caller holds the lock.
func (f *flight) end() <-chan struct{} {
	if !f.published && f.answered == nil {
		f.answered = make(chan struct{})
	}
	return f.answered
}

// close keeps further requests from joining. The fill calls close after the copy is stored, since a request that
// finds no flight looks into the store next.
func (f *flight) close() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.remove()
}

// leave counts out a waiter that has its answer or has given up.
func (f *flight) leave() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.waiters--
	f.orphaned()
}

// desert notes that the leading request does not wait for the answer any more.
func (f *flight) desert() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.left = true
	f.orphaned()
}

// begin notes the flight's fill. All requests may have left before the fill begins: begin then ends the fill by the
// rules of orphaned.
func (f *flight) begin(c *running) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.begun = c
	f.orphaned()
}

// orphaned ends the flight's fill if no request waits for the answer and the upstream has its full number of such
// fills. This concerns only upstreams without a limit: otherwise clients that ask and leave could pile up fills
// without bound. orphaned removes the flight in the same step, so that no request joins a fill that ends. The caller
// holds the lock.
func (f *flight) orphaned() {
	unwanted := f.left && f.waiters <= 0 && !f.published
	if !unwanted || f.begun == nil || f.begun.alone || f.adopted || f.begun.q.Route.Origin.Limited() {
		return
	}
	if f.adopted = f.begun.q.Route.Origin.Adopt(); !f.adopted {
		f.remove()
		f.begun.cancel(context.Canceled)
	}
}

// remove takes the flight out of its shard, unless another flight has replaced this flight. The caller holds the
// lock.
func (f *flight) remove() {
	if f.shard.open[f.key] == f {
		delete(f.shard.open, f.key)
	}
}

// count is the number of open flights, and of the requests that wait for them.
func (fs *flights) count() (open, waiters int) {
	for i := range fs.shards {
		s := &fs.shards[i]
		s.mu.Lock()
		open += len(s.open)
		for _, f := range s.open {
			waiters += f.waiters
		}
		s.mu.Unlock()
	}
	return open, waiters
}

// turn waits until the flight before has its answer. The error is that of ctx.
func (f *flight) turn(ctx context.Context) error {
	if f.after == nil {
		return nil
	}
	select {
	case <-f.after:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the fetch before: %w", ctx.Err())
	}
}

// responseOf is the Response in a flight's result.
func responseOf(r result) Response {
	if res, ok := r.Val.(*Response); ok {
		return *res
	}
	return lost()
}
