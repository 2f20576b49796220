package upstream

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"cacheproxy/lockorder"
)

// Class says what a request is to the upstream. Inside a limit, classes that wait share the places by their weights; see limiter.turn.
type Class uint8

const (
	// Write is a request of a client that nothing but the upstream can answer: writes and what is passed through. The zero
	// value.
	Write Class = iota
	// Fill is a read that found no usable copy. One may answer thousands.
	Fill
	// Unlisted is a read that goes past the cache because of something that its client sent and its route does not list. Anybody can
	// send such a thing, and has the smallest share for it.
	Unlisted
	// Refresh renews a copy that still serves; nobody waits for it.
	Refresh

	classes
)

// weights are the shares of the classes in the places and in the queue, where they compete for them.
var weights = [classes]int{Write: 4, Fill: 4, Unlisted: 1, Refresh: 1}

// reserved is the part of the places, one fourth, that fills get before other classes that wait, that Unlisted requests never get, and that writes
// and fills each keep when requests that no limit holds have taken all places.
const reserved = 4

// Place says on whose behalf a place is asked for. Inside a class routes take turns, inside a route clients do, and of a client the
// longest waiting goes first.
type Place struct {
	Class Class
	Route string // the route's name; empty is a route like any other
	// Client is the client's address, as far as it is believed. The streams of each client are bounded; see Options.MaxStreams. The zero value
	// is nobody in particular: only the bounds for all clients apply, and in the queue all such requests count as one client.
	Client netip.Addr
	// Silent says that the client has paused in the request's body already: the place may be given to others until the client sends on.
	Silent bool
	// Passing says that the proxy only forwards the request, because its route is off, observed or missing: the limit counts it but does not
	// hold it, unless Options.LimitPassing is set. It neither waits nor is refused, and of the timeouts in Options only DialTimeout ends it.
	Passing bool

	account *account // of the upstream that it asks; nil: nobody counts
}

// clientShare is the part of Options.MaxStreams, and of the places, that what lasts for one client may take: one fourth, and one
// at least.
const clientShare = 4

// ipv6Site is how many bits of an IPv6 address identify a client's network; the client chooses the other bits itself.
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

// limiter hands out places. It has no goroutine of its own: the request that releases a place passes it on.
//
// Requests that it holds never have more than max places together, requests with Place.Passing have as many as they like, and both are counted.
// Invariant: inFlight is the sum of of and passing, and no request waits whose class has room.
type limiter struct {
	mu           lockorder.Mutex[lockorder.Limiter] // guards everything below, and the fields of every waiter and slot
	max          int                                // places of this instance; unlimited: nothing ever waits
	perInstance  int                                // Options.MaxInFlight: the most that max can be
	fleet        int                                // places of all instances together; 0: each has perInstance
	instances    int                                // number of instances that share fleet; at least 1
	maxQueue     int
	maxStreams   int
	queueTimeout time.Duration
	holdsPassing bool                 // Options.LimitPassing
	inFlight     int                  // places in use: the sum of of and passing
	of           [classes]int         // places in use that count against the limit, by class; together above max only after max was lowered
	passing      int                  // places in use by requests that the limit does not hold
	streams      int                  // open streams that count against maxStreams; not in inFlight
	streamsOf    map[netip.Prefix]int // of these, by client; only clients that have any
	queued       int                  // requests in all of queues
	shed         uint64               // requests refused a place or a stream, since the start
	queues       [classes]fairQueue
	served       [classes]float64 // virtual time of each class: places given to its queue, divided by its weight; see turn
	clock        float64          // served of the class that was given the last place
	returning    list.List        // of returning; they get free places before all queues
	lent         list.List        // of *Slot: places of clients that do not send, and could not have a stream; see reclaim
	ending       int              // lent places that were taken back, and whose requests are about to release them
	shadow       []shadowWaiter   // requests that are not held and found no place, in the order of arrival; see shadowEnter
}

// unlimited is more places than can ever be taken.
const unlimited = math.MaxInt

func newLimiter(o Options) *limiter {
	l := &limiter{instances: AssumedInstances, streamsOf: make(map[netip.Prefix]int)}
	l.setLimits(o)
	return l
}

// acquire returns a place, at once or after waiting for one. It fails with errQueueFull, errQueueTimeout or, as soon as
// ctx ends, with the cause of that.
func (l *limiter) acquire(ctx context.Context, p Place) (*Slot, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("wait for a place: %w", endOf(ctx))
	}
	slot, w, err := l.enter(p)
	if err != nil {
		return nil, err
	}
	if w == nil {
		p.account.wait(0)
		return slot, nil
	}
	since := time.Now()
	slot, err = l.wait(ctx, w)
	p.account.wait(time.Since(since))
	return slot, err
}

// enter takes a free place or joins the queue.
func (l *limiter) enter(p Place) (*Slot, *waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.Passing = p.Passing && !l.holdsPassing
	if p.Passing {
		l.shadowEnter(p.account)
	}
	if p.Passing || l.room(p.Class) {
		return l.take(p), nil, nil
	}
	if p.Silent && l.noStream(ClientOf(p.Client)) != nil {
		return nil, nil, errSilent // with a place, it would be refused for the same reason at once
	}
	if l.queued >= l.maxQueue && !l.pushOutFor(p) {
		l.shed++
		return nil, nil, errQueueFull
	}
	w := &waiter{place: p, client: ClientOf(p.Client), patience: l.queueTimeout, settled: make(chan struct{})}
	if l.queues[p.Class].empty() {
		l.served[p.Class] = max(l.served[p.Class], l.clock) // a class earns no credit for the time in which none of its requests waited
	}
	l.queues[p.Class].push(w)
	l.queued++
	p.account.count(inQueue, 1)
	l.reclaim()
	return nil, w, nil
}

// take gives out a place. The caller holds mu.
func (l *limiter) take(p Place) *Slot {
	s := &Slot{limiter: l, client: ClientOf(p.Client), class: p.Class, route: p.Route, silent: p.Silent, passing: p.Passing, account: p.account}
	s.hold()
	return s
}

// room reports whether a request of a class may have a place now. The caller holds mu.
func (l *limiter) room(c Class) bool {
	least := l.max / reserved
	switch {
	case c == Unlisted && l.of[c] >= l.max-least:
		return false
	case l.inFlight < l.max:
		return true
	case c == Unlisted, c == Refresh:
		return false
	}
	// Requests that are not held may have taken all places. Writes and fills keep a part of them.
	return l.inFlight-l.passing < l.max && l.of[c] < max(1, least)
}

// pushOutFor makes room in a full queue for a request with place p, and reports whether it has. The request that has to go belongs to the class with
// the most waiting by its weight, there to the route with the most waiting, there to the client with the most waiting, and is that client's newest,
// which has waited least. The newcomer is let in only if the class that loses a request then has no fewer waiting, by weight, than the newcomer's
// class; within one class, the same holds for routes, and within one route for clients. So a flood takes the room of no other class, route or
// client.
func (l *limiter) pushOutFor(p Place) bool {
	load := func(c Class, more int) float64 { return float64(l.queues[c].waiting+more) / float64(weights[c]) }
	most := p.Class
	for c := range classes {
		if load(c, 0) > load(most, 0) {
			most = c
		}
	}
	if load(p.Class, 1) >= load(most, 0) {
		most = p.Class
	}
	longest := l.queues[most].longest()
	if longest == nil {
		return false
	}
	if most == p.Class {
		route, client := l.queues[most].length(p.Route, ClientOf(p.Client))
		if longest.waiting <= route+1 {
			if longest = l.queues[most].routes[p.Route]; longest == nil || longest.longest().waiters.Len() <= client+1 {
				return false
			}
		}
	}
	l.shed++
	l.settle(longest.longest().newest(), pushedOut)
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
	case admitted: // possibly in the same instant as the timeout: the place is used
		return w.slot, nil
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
	w.place.account.count(inQueue, -1)
	w.state = state
	close(w.settled)
}

// admit fills free places from the queue: the class whose turn it is, its routes in turn, and their clients. The caller holds mu.
func (l *limiter) admit() {
	l.readmit()
	for l.queued > 0 {
		c, ok := l.turn()
		if !ok {
			return
		}
		w := l.queues[c].next()
		l.clock = l.served[c]
		l.served[c] += 1 / float64(weights[c])
		l.settle(w, admitted) // before take, so that the request is never counted both as waiting and as having a place
		w.slot = l.take(w.place)
	}
}

// turn is the class that gets the next place: fills, while they have less than what is reserved for them; otherwise the class with the lowest served,
// which is weighted fair queueing. So a class whose requests take long at the upstream cannot take the reserved part from fills, and no class waits
// for ever. ok is false if no class may have a place. The caller holds mu.
func (l *limiter) turn() (next Class, ok bool) {
	for c := range classes {
		switch {
		case l.queues[c].empty() || !l.room(c):
		case c == Fill && l.of[Fill] < l.max/reserved:
			return Fill, true
		case !ok || l.served[c] < l.served[next]:
			next, ok = c, true
		}
	}
	return next, ok
}

// setLimits changes all limits. Requests that wait already keep their timeout.
func (l *limiter) setLimits(o Options) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.perInstance, l.fleet, l.maxQueue, l.maxStreams, l.queueTimeout = o.MaxInFlight, o.FleetMaxInFlight, o.MaxQueue, o.MaxStreams, o.QueueTimeout
	l.holdsPassing = o.LimitPassing
	if l.perInstance == 0 {
		l.perInstance = unlimited
	}
	l.divide()
}

// AssumedInstances is the number of instances that is assumed while it is not known. Few fleets have more, so that instances that start while they
// cannot see each other do not overload the upstream together.
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

// divide sets max to this instance's share. If max gets lower, places in use stay, and are not given out again when they are released. The caller
// holds mu.
func (l *limiter) divide() {
	l.max = l.perInstance
	if l.fleet > 0 {
		l.max = max(1, min(l.perInstance, l.fleet/l.instances))
	}
	l.admit()
	l.reclaim()
}
