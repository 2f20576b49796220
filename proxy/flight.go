package proxy

import (
	"fmt"
	"sync"

	"cacheproxy/invalidation"

	"golang.org/x/sync/singleflight"
)

// flights coalesces fetches: of the requests for one key, the first starts a flight and the others wait for it. A flight
// belongs to none of them: it has a context of its own, and lasts in singleflight until the header of the answer is
// there. From then on its fill is handed to whoever may join, until the last byte is stored.
type flights struct {
	ledger *invalidation.Ledger
	group  singleflight.Group

	mu   sync.Mutex
	open map[string]*flight // by flight key; guarded by mu
}

// flight is one fetch that requests may join. Its fields are guarded by flights.mu.
type flight struct {
	key     string
	known   []invalidation.ID // members known before the answer
	waiters int
	sent    bool               // the request is on its way to the origin
	token   invalidation.Token // taken just before; meaningful once sent
	fill    *fill              // once the header of the answer is there

	after    <-chan struct{} // closed when the flight before it has landed, for which it waits; nil: for none
	answered chan struct{}   // closed when it lands
}

// passenger is a request that wants to share a flight.
type passenger struct {
	key   string
	known []invalidation.ID
	limit int // of those who wait for one flight
	// uninformed: an invalidation that it must heed may not be known here. It shares only what is sent to the origin after it
	// came, and waits its turn for that.
	uninformed bool
}

// boarding is how a request came to a flight.
type boarding uint8

const (
	leads  boarding = iota // started it
	joined                 // waits for it, or follows its body
	full                   // too many wait already
	landed                 // the copy arrived in the meantime
)

// ticket is a request's place in a flight.
type ticket struct {
	flight *flight
	how    boarding
	fill   *fill                      // set when the header is there already
	result <-chan singleflight.Result // else: a *fill, once
}

// board joins the open flight of a key, or starts one with start. stored is asked, when there is no flight to join, whether
// a copy has arrived since the caller looked; the answer is final, because a flight is closed after its copy is stored.
//
// A flight that an uninformed request starts goes to the origin only when the one before it has its answer, and who comes
// meanwhile joins it: one under way and one in waiting for each key.
func (fs *flights) board(p passenger, stored func() bool, start func(*flight) *fill) ticket {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	before := fs.open[p.key]
	if f := before; f != nil && fs.joinable(f, p.uninformed) {
		switch {
		case f.fill != nil:
			return ticket{flight: f, how: joined, fill: f.fill}
		case f.waiters >= p.limit:
			return ticket{how: full}
		}
		f.waiters++
		// The call is under way: it lands under mu, before which fill is nil.
		return ticket{flight: f, how: joined, result: fs.group.DoChan(p.key, func() (any, error) { return lost(), nil })}
	}
	if stored() {
		return ticket{how: landed}
	}
	f := &flight{key: p.key, known: p.known, answered: make(chan struct{})}
	if p.uninformed && before != nil {
		f.after = before.answered
	}
	fs.open[p.key] = f
	// An older flight that must not be joined any more goes on for those who wait for it.
	fs.group.Forget(p.key)
	result := fs.group.DoChan(p.key, func() (any, error) { return start(f), nil })
	return ticket{flight: f, how: leads, result: result}
}

// solo starts a fetch that nobody can join.
func (p *Proxy) solo(f *flight, q *fetch) ticket {
	result := make(chan singleflight.Result, 1)
	start := func() { result <- singleflight.Result{Val: p.fill(f, q)} }
	if !p.tasks.Go(start) {
		start() // which says that the proxy is closed
	}
	return ticket{flight: f, how: leads, result: result}
}

// joinable reports whether a request that arrives now may share f: nothing that concerns it was invalidated since its
// token, and it is known that nothing was. The caller holds mu.
func (fs *flights) joinable(f *flight, uninformed bool) bool {
	switch {
	case uninformed:
		return !f.sent
	case f.fill != nil:
		return !fs.ledger.Since(f.token, f.fill.ids)
	case f.sent:
		return !fs.ledger.Since(f.token, f.known)
	default:
		return true
	}
}

// send takes the token: from here on the flight's answer may be older than what happens.
func (fs *flights) send(f *flight) invalidation.Token {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.token, f.sent = fs.ledger.Token(), true
	return f.token
}

// land publishes the answer's header to those who come from now on; open keeps the flight joinable while its body grows.
func (fs *flights) land(f *flight, res *fill, open bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.fill == nil && f.answered != nil {
		close(f.answered)
	}
	f.fill = res
	if !open {
		fs.remove(f)
	}
}

// close ends the flight for newcomers.
func (fs *flights) close(f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.remove(f)
}

func (fs *flights) remove(f *flight) {
	if fs.open[f.key] == f {
		delete(fs.open, f.key)
	}
}

// leave gives up a waiter's place.
func (fs *flights) leave(f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.waiters--
}

// turn waits until the flight before this one has its answer.
func (c *call) turn() error {
	if c.f.after == nil {
		return nil
	}
	select {
	case <-c.f.after:
		return nil
	case <-c.ctx.Done():
		return fmt.Errorf("wait for the fetch before: %w", c.ctx.Err())
	}
}

// answerOf is the fill that a flight's result carries.
func answerOf(r singleflight.Result) *fill {
	if res, ok := r.Val.(*fill); ok {
		return res
	}
	return lost()
}
