package upstream

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"cacheproxy/lockorder"
)

// Class says who is served first when the upstream has no place free: strictly the higher class, so that a request of a lower
// one may wait in vain for as long as higher ones fill the upstream. Options.QueueTimeout bounds that wait.
type Class uint8

const (
	// Write is a request of a client that nothing but the upstream can answer: writes and everything passed through. The
	// zero value.
	Write Class = iota
	// Fill is a read that found no usable copy.
	Fill
	// Refresh renews a copy that still serves; nobody waits for it.
	Refresh

	classes
)

// Place says on whose behalf a place is asked for. Inside a class routes take turns, and inside a route the longest
// waiting goes first.
type Place struct {
	Class Class
	Route string // the route's name; empty is a route like any other
	// Client is who asked, as far as that is believed. What lasts is bounded for each; see Options.MaxStreams. The zero value is
	// nobody in particular, for whom nothing but the bounds for all hold.
	Client netip.Addr
	// Silent says that the client has kept the request's body waiting already: the place is for others until it sends on.
	Silent bool
}

// clientShare is the part of Options.MaxStreams, and of the places, that what lasts for one client may take: one fourth, and one
// at least.
const clientShare = 4

// ipv6Site is the bits of an IPv6 address that tell one client's network from another's: a client chooses the others itself.
const ipv6Site = 64

// ClientOf is what counts as one client: an IPv4 address, or an IPv6 network. The zero Prefix is nobody in particular.
func ClientOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	p, err := a.Prefix(min(a.BitLen(), ipv6Site)) // an IPv4 address has fewer
	if err != nil {
		return netip.Prefix{} // the zero address
	}
	return p
}

var (
	// errQueueFull means that every place is taken and so is the queue for them, or that the waiting request was pushed
	// out of a full queue by one of a higher class, or of a route with fewer waiting.
	errQueueFull = errors.New("every place at the upstream and in its queue is taken")
	// errQueueTimeout means that no place became free within the queue's deadline.
	errQueueTimeout = errors.New("no place at the upstream became free in time")
	// errStreamsFull means that the response is a stream and that as many as allowed are open.
	errStreamsFull = errors.New("as many streams as the upstream may have are open")
	// errClientStreams means that as many streams as one client may have are open for it.
	errClientStreams = errors.New("as many streams of the upstream as one client may have are open")
)

// limiter hands out places. It has no goroutine of its own: a place is passed on by the request that gives it back.
type limiter struct {
	waited func(time.Duration) // never nil

	mu           lockorder.Mutex[lockorder.Limiter] // guards everything below, and the fields of every waiter and slot
	max          int                                // places of this instance
	own          int                                // of which it has no more, however few instances there are
	fleet        int                                // places of all instances together; 0: they do not share
	instances    int                                // among which fleet is divided; at least 1
	maxQueue     int
	maxStreams   int
	queueTimeout time.Duration
	inFlight     int                  // places given out; above max only after max was lowered
	streams      int                  // open; not in inFlight
	streamsOf    map[netip.Prefix]int // of which so many for each client that has any
	queued       int                  // requests in all of queues
	shed         uint64               // requests refused a place or a stream, since the start
	queues       [classes]fairQueue
	returning    list.List // of returning: they go before all queues
}

func newLimiter(o Options) *limiter {
	l := &limiter{instances: AssumedInstances, waited: o.Waited, streamsOf: make(map[netip.Prefix]int)}
	if l.waited == nil {
		l.waited = func(time.Duration) {}
	}
	l.setLimits(o)
	return l
}

// acquire returns a place, at once or after waiting for one. It fails with errQueueFull, errQueueTimeout or, as soon as
// ctx ends, with the cause of that.
func (l *limiter) acquire(ctx context.Context, p Place) (*Slot, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("wait for a place: %w", endOf(ctx))
	}
	w, err := l.enter(p)
	if err != nil {
		return nil, err
	}
	if w == nil {
		l.waited(0)
		return newSlot(l, p), nil
	}
	since := time.Now()
	slot, err := l.wait(ctx, w)
	l.waited(time.Since(since))
	return slot, err
}

// enter takes a free place (a nil waiter) or joins the queue.
func (l *limiter) enter(p Place) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inFlight < l.max {
		l.inFlight++
		return nil, nil
	}
	if l.queued >= l.maxQueue && !l.pushOutFor(p) {
		l.shed++
		return nil, errQueueFull
	}
	w := &waiter{place: p, patience: l.queueTimeout, settled: make(chan struct{})}
	l.queues[p.Class].push(w)
	l.queued++
	return w, nil
}

// pushOutFor makes room in a full queue. Who has to go is of the lowest class that waits, of its route with the most
// waiting, and there the newest, which has waited least for nothing. A newcomer of that class itself is let in only at the
// cost of a route that has more waiting than its own would have with it: a flood on one route takes no other's room.
func (l *limiter) pushOutFor(p Place) bool {
	lowest := classes - 1
	for lowest > p.Class && l.queues[lowest].empty() {
		lowest--
	}
	q := &l.queues[lowest]
	longest := q.longest()
	if longest == nil || lowest == p.Class && longest.waiters.Len() <= q.length(p.Route)+1 {
		return false
	}
	l.shed++
	l.settle(longest.newest(), pushedOut)
	return true
}

func (l *limiter) wait(ctx context.Context, w *waiter) (*Slot, error) {
	deadline := time.NewTimer(w.patience)
	defer deadline.Stop()
	var err error
	select {
	case <-w.settled:
	case <-deadline.C:
		err = errQueueTimeout
	case <-ctx.Done():
		err = fmt.Errorf("wait for a place: %w", endOf(ctx))
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	switch w.state {
	case admitted: // possibly in the same instant in which it gave up: a place in hand is used
		return newSlot(l, w.place), nil
	case pushedOut:
		return nil, errQueueFull
	}
	if errors.Is(err, errQueueTimeout) {
		l.shed++
	}
	l.settle(w, left)
	return nil, err
}

// settle takes w out of its queue. The caller holds mu.
func (l *limiter) settle(w *waiter, state waiterState) {
	l.queues[w.place.Class].remove(w)
	l.queued--
	w.state = state
	close(w.settled)
}

// admit fills free places from the queue: the highest class first, its routes in turn. The caller holds mu.
func (l *limiter) admit() {
	l.readmit()
	for l.inFlight < l.max && l.queued > 0 {
		for c := range l.queues {
			if w := l.queues[c].next(); w != nil {
				l.inFlight++
				l.settle(w, admitted)
				break
			}
		}
	}
}

// setLimits changes all limits. Who waits already keeps the deadline of then.
func (l *limiter) setLimits(o Options) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own, l.fleet, l.maxQueue, l.maxStreams, l.queueTimeout = o.MaxInFlight, o.FleetMaxInFlight, o.MaxQueue, o.MaxStreams, o.QueueTimeout
	l.divide()
}

// AssumedInstances is how many instances there are taken to be as long as nobody could say. Few fleets have more: those that
// start while they cannot see each other do not bring down what they are to protect.
const AssumedInstances = 8

func (l *limiter) setInstances(n int) {
	if n < 1 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.instances = n
	l.divide()
}

// divide takes this instance's share. Places above a lowered number are not taken away, only not given out again. The
// caller holds mu.
func (l *limiter) divide() {
	l.max = l.own
	if l.fleet > 0 {
		l.max = max(1, min(l.own, l.fleet/l.instances))
	}
	l.admit()
}
