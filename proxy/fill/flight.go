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

// flights coalesces fetches: of the requests for one key, the first leads a flight and the others wait for its answer. A flight
// belongs to none of them: it has a context of its own, and lasts in singleflight until the header of the answer is there. From
// then on the response is handed to whoever may join, until the last byte is stored.
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
	shard *flightShard // of nobody else, and without a map, where nobody can join the flight
	key   string
	call  string            // its key in the group, which no other flight has: one that must not be joined any more goes on for those who wait for it
	known []invalidation.ID // members known before the answer

	request chan *Request // gets what is to be fetched, once
	once    sync.Once     // of what follows
	brought Response      // meaningful once once is done

	hints chan hint       // set by the request that leads, before the fill begins; nil: nobody wants any
	after <-chan struct{} // closed when the flight before this one has its answer, for which it waits; nil: it waits for none

	// What follows is guarded by the lock of the shard. The fill writes sent and token when it sends a request, and response and
	// published once, when the header of the answer is there; the requests that join write waiters and read all.
	answered  chan struct{} // closed when the response is published; nil: nobody waits for that
	waiters   int
	left      bool               // who leads does not wait for the answer any more
	begun     *running           // the fill; nil: not yet
	adopted   bool               // nobody waits for it, and the upstream may have it all the same; see orphaned
	sent      bool               // the request is on its way to the origin
	token     invalidation.Token // taken just before; meaningful once sent
	published bool
	response  *Response // once published, where the flight is open still; it never changes
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

// join joins the open flight of a key or, where there is none that the request may join, opens one. The caller then leads: it
// must put on lead, once and whatever happens, what is to be fetched, or nil where there is nothing to fetch, and have the flight asked.
// Until it has put that there, who asks waits, and who comes meanwhile joins.
//
// A flight that is opened by a request without a lease, or while a write is under way, goes to the origin only when the one before it has
// its answer, and who comes meanwhile joins it: one under way and one in waiting for each key.
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

// ask has the answer of a flight put on results. It waits as long as that takes, and runs on a goroutine of no client.
func (fs *flights) ask(f *flight, results chan<- result) {
	v, err, shared := f.shard.group.Do(f.call, func() (any, error) { return fs.answer(f), nil })
	results <- result{Val: v, Err: err, Shared: shared}
}

// answer is what all who ask for a flight have the group do, whoever comes first: it fetches. One whose call comes after the end of the
// first gets the same all the same: who leads may be kept from a processor while others join, wait, and have their answer.
func (fs *flights) answer(f *flight) *Response {
	f.once.Do(func() { f.brought = fs.start(f, <-f.request) })
	return &f.brought
}

// alone opens a flight that nobody can join. The second value is where its response is to be put.
func (fs *flights) alone(key string, known []invalidation.ID) (t Ticket, results chan<- result) {
	c := make(chan result, 1)
	return Ticket{Role: Leads, flight: &flight{shard: &flightShard{}, key: key, known: known}, result: c}, c
}

// send takes the token: from here on the flight's answer may be older than what happens.
func (fs *flights) send(f *flight) invalidation.Token {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.token, f.sent = fs.ledger.Token(), true
	return f.token
}

// publish hands the response to those who come from now on; open keeps the flight joinable while the body grows.
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

// end is closed when the response is published; nil: it is. The caller holds the lock.
func (f *flight) end() <-chan struct{} {
	if !f.published && f.answered == nil {
		f.answered = make(chan struct{})
	}
	return f.answered
}

// close ends the flight for newcomers. It comes after the copy is stored: whoever finds no flight looks into the store next.
func (f *flight) close() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.remove()
}

// leave gives up a waiter's place, once it has waited.
func (f *flight) leave() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.waiters--
	f.orphaned()
}

// desert is called when who leads does not wait for the answer any more.
func (f *flight) desert() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.left = true
	f.orphaned()
}

// begin notes the fill, of which nobody may want the answer any more.
func (f *flight) begin(c *running) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.begun = c
	f.orphaned()
}

// orphaned ends a fill for whose answer nobody waits, where the upstream has no limit and as many of them as it may have: clients that ask
// and leave would else pile them up. It is taken out of its shard in the same step, so that nobody joins what ends. The caller holds the
// lock.
func (f *flight) orphaned() {
	if !f.left || f.waiters > 0 || f.published || f.begun == nil || f.begun.alone || f.adopted || f.begun.q.Route.Origin.Limited() {
		return
	}
	if f.adopted = f.begun.q.Route.Origin.Adopt(); !f.adopted {
		f.remove()
		f.begun.cancel(context.Canceled)
	}
}

// remove takes the flight out of its shard, unless another one has its place. The caller holds the lock.
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

// responseOf is what a flight's result carries.
func responseOf(r result) Response {
	if res, ok := r.Val.(*Response); ok {
		return *res
	}
	return lost()
}
