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

// flightShards is how many locks the flights are spread over, by their keys.
const flightShards = 64

// result carries the Response of a flight.
type result = singleflight.Result

// flights coalesces fetches: of the requests for one key, the first leads a flight and the others wait for its answer. A flight does not end with
// any of them: its fetch has a context of its own. Until the header of the answer is there, requests wait in singleflight; from then on, requests
// that may join get the published response, until the copy is stored.
type flights struct {
	ledger *invalidation.Ledger
	start  func(*flight, *Request) Response // fetches what a flight's leader wants
	opened atomic.Uint64
	seed   maphash.Seed
	shards [flightShards]flightShard
}

// flightShard is the flights of some of the keys. No look-up and no work on headers is done under its lock; the locks of group
// and of the ledger are taken under it, and it under none.
type flightShard struct {
	group singleflight.Group

	mu   lockorder.Mutex[lockorder.Flights]
	open map[string]*flight // by flight key; guarded by mu. A flight is removed when its copy is stored, or will not be
}

// flight is one fetch that requests may join.
type flight struct {
	shard *flightShard // of a flight that nobody can join: a shard of its own, without a map
	key   string
	call  string            // its key in the group. It is unique, so that a flight that was replaced goes on for the requests that wait for it
	known []invalidation.ID // members known before the answer

	request chan *Request // gets what is to be fetched, once
	once    sync.Once     // of what follows
	brought Response      // meaningful once once is done

	hints chan hint       // set by the request that leads, before the fill begins; nil: informational responses are not wanted
	after <-chan struct{} // closed when the flight that this one replaced, and waits for, has its answer; nil: it waits for none

	// What follows is guarded by the lock of the shard. The fill writes sent and token when it sends a request, and response and
	// published once, when the header of the answer is there; the requests that join write waiters and read all.
	answered  chan struct{} // closed when the response is published; nil: nobody waits for that
	waiters   int
	left      bool               // the request that leads does not wait for the answer any more
	begun     *running           // the fill; nil: not yet
	adopted   bool               // no request waits for it, and it goes on all the same, counted by Upstream.Adopt; see orphaned
	sent      bool               // the request is on its way to the origin
	token     invalidation.Token // taken just before; meaningful once sent
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

// join joins the open flight of a key or, if there is none that the request may join, opens one. If it opens one, lead is not nil, and the caller
// leads: it must send on lead exactly once, whatever happens, the request to be fetched, or nil if there is nothing to fetch, and call ask. Until
// then the requests that have joined wait, and others may join.
//
// A flight that is opened by a request without a lease, or while a write is under way, is sent to the origin only when the flight that it replaces
// has its answer, and requests that come meanwhile join it. So for each key one flight is under way, and at most one waits.
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

// ask sends the answer of a flight on results. It blocks until the answer is there, and must not run on a client's goroutine.
func (fs *flights) ask(f *flight, results chan<- result) {
	v, err, shared := f.shard.group.Do(f.call, func() (any, error) { return fs.answer(f), nil })
	results <- result{Val: v, Err: err, Shared: shared}
}

// answer fetches the answer of a flight, once. All requests of the flight call it through the group. The group calls it again for a request whose
// call comes after the first has returned, as when the leader's goroutine is not scheduled until others have joined and got their answer; that
// request gets the same answer.
func (fs *flights) answer(f *flight) *Response {
	f.once.Do(func() { f.brought = fs.start(f, <-f.request) })
	return &f.brought
}

// alone opens a flight that nobody can join. The second value is where its response is to be put.
func (fs *flights) alone(key string, known []invalidation.ID) (t Ticket, results chan<- result) {
	c := make(chan result, 1)
	return Ticket{Role: Leads, flight: &flight{shard: &flightShard{}, key: key, known: known}, result: c}, c
}

// send takes the token, right before the request is sent to the origin: the answer may lack changes that are invalidated after it.
func (fs *flights) send(f *flight) invalidation.Token {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.token, f.sent = fs.ledger.Token(), true
	return f.token
}

// publish makes the response known to requests that join from now on, if open, and closes the flight otherwise.
func (f *flight) publish(res Response, open bool) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if !f.published && f.answered != nil {
		close(f.answered)
	}
	if f.published = true; open {
		kept := res // or each flight would have room for it
		f.response = &kept
		return
	}
	f.remove()
}

// end returns a channel that is closed when the response is published; nil: it was published already. The caller holds the lock.
func (f *flight) end() <-chan struct{} {
	if !f.published && f.answered == nil {
		f.answered = make(chan struct{})
	}
	return f.answered
}

// close keeps further requests from joining. It is called after the copy is stored, since a request that finds no flight looks into the store next.
func (f *flight) close() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.remove()
}

// leave counts a waiter out, when it has its answer or has given up.
func (f *flight) leave() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.waiters--
	f.orphaned()
}

// desert notes that the request that leads does not wait for the answer any more.
func (f *flight) desert() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.left = true
	f.orphaned()
}

// begin notes the flight's fill. All requests may have left before it has begun.
func (f *flight) begin(c *running) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.begun = c
	f.orphaned()
}

// orphaned ends the flight's fill if no request waits for its answer, and the upstream, which has no limit, has as many such fills as it may have:
// otherwise clients that ask and leave could pile up fills without bound. The flight is removed in the same step, so that no request joins a fill
// that ends. The caller holds the lock.
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

// remove takes the flight out of its shard, unless another flight has replaced it there. The caller holds the lock.
func (f *flight) remove() {
	if f.shard.open[f.key] == f {
		delete(f.shard.open, f.key)
	}
}

// count is how many flights are open, and how many requests wait for them.
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

// turn waits until the flight before this one has its answer.
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
