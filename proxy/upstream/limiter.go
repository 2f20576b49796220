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

// Class says what kind of request wants a place. Inside a limit, classes that wait share the places by their weights;
// see limiter.turn.
type Class uint8

const (
	// Write is a request of a client that only the upstream can answer: writes, and requests that are passed through.
	// The zero value.
	Write Class = iota
	// Fill is a read that found no usable copy. One fill may answer thousands of clients.
	Fill
	// Unlisted is a read that goes past the cache because the client sent something that the route does not list. Any
	// client can do so, so the class has the smallest share.
	Unlisted
	// Refresh renews a copy that still serves. No client waits for it.
	Refresh

	classes
)

// weights are the shares of the classes in the places and in the queue, where classes compete for them.
var weights = [classes]int{Write: 4, Fill: 4, Unlisted: 1, Refresh: 1}

// reserved is the divisor of the places (one fourth) for three parts: the part that fills keep while others wait, the
// part that Unlisted never gets, and the part that writes and fills each have when requests that no limit holds leave
// no place.
const reserved = 4

// Place says for whom a place is asked. Inside a class the routes take turns, inside a route the clients, and of one
// client the request that has waited longest goes first.
type Place struct {
	Class Class
	Route string // the route's name; empty is a route like any other
	// Client is the address of the client, as far as it is trusted. Each client's streams are bounded; see
	// Options.MaxStreams. The zero value stands for no client in particular: only the bounds for all hold, and all
	// such waiting requests count as one client.
	Client netip.Addr
	// Silent says that the client has kept the request's body waiting already. The place is for others until the
	// client sends on.
	Silent bool
	// Passing says that the proxy only passes the request through. The limit counts the request and does not hold it,
	// unless Options.LimitPassing is set. Such a request neither waits nor is refused, and of the timeouts of Options
	// only DialTimeout ends it.
	Passing bool

	account *account // of the upstream that the request asks; nil: no account
}

// clientShare is the divisor of Options.MaxStreams that gives how many streams one client may have: one fourth, and
// at least one.
const clientShare = 4

// ipv6Site is how many bits of an IPv6 address identify a client's network. A client chooses the other bits itself.
const ipv6Site = 64

// ClientOf returns the prefix that counts as one client: an IPv4 address, or an IPv6 network. The zero Prefix stands
// for no client in particular.
func ClientOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	p, err := a.Prefix(min(a.BitLen(), ipv6Site)) // an IPv4 address has fewer bits
	if err != nil {
		return netip.Prefix{} // the zero address
	}
	return p
}

var (
	// errQueueFull means that every place and the queue are taken, or that a request of another class, route or
	// client pushed the waiting request out of a full queue; see pushOutFor.
	errQueueFull = errors.New("every place at the upstream and in its queue is taken")
	// errQueueTimeout means that no place became free within the queue's deadline.
	errQueueTimeout = errors.New("no place at the upstream became free in time")
	// errStreamsFull means that the response is a stream and that as many streams as allowed are open.
	errStreamsFull = errors.New("as many streams as the upstream may have are open")
	// errClientStreams means that the client has as many open streams as one client may have.
	errClientStreams = errors.New("as many streams of the upstream as one client may have are open")
)

// limiter hands out places. The limiter has no goroutine: the request that gives a place back passes it on.
//
// Requests that the limit holds have at most max places. Requests that the limit does not hold (passing) have any
// number. Both count. Invariant: inFlight is the sum of all of and passing, and no class waits while it has room.
type limiter struct {
	mu           lockorder.Mutex[lockorder.Limiter] // guards the fields below, and those of every waiter and slot
	max          int                                // places of this instance; unlimited: nothing ever waits
	perInstance  int                                // upper bound of max, however few instances there are
	fleet        int                                // places of all instances together; 0: instances do not share
	instances    int                                // number of instances that share fleet; at least 1
	maxQueue     int
	maxStreams   int
	queueTimeout time.Duration
	holdsPassing bool                 // Options.LimitPassing
	inFlight     int                  // places given out; held ones are above max only after max was lowered
	of           [classes]int         // places of inFlight that the limit holds, by class
	passing      int                  // places of inFlight that the limit does not hold
	streams      int                  // open streams; not in inFlight
	streamsOf    map[netip.Prefix]int // open streams of each client that has any
	queued       int                  // requests in all queues
	shed         uint64               // requests refused a place or a stream, since the start
	queues       [classes]fairQueue
	served       [classes]float64 // places given to each class from its queue, by its weight; see turn
	clock        float64          // served of the class that was given the last place
	returning    list.List        // of returning: slots that go before all queues
	lent         list.List        // of *Slot: places whose holders do not use the upstream; see reclaim
	ending       int              // lent places that were taken back and are about to be given back
	shadow       []shadowWaiter   // requests not held that found no place, oldest first; see shadowEnter
}

// unlimited is more places than can ever be taken.
const unlimited = math.MaxInt

func newLimiter(o Options) *limiter {
	l := &limiter{instances: AssumedInstances, streamsOf: make(map[netip.Prefix]int)}
	l.setLimits(o)
	return l
}

// acquire returns a place, at once or after a wait. It fails with errQueueFull, errQueueTimeout or, as soon as ctx
// ends, with the cause of that end.
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
		return nil, nil, errSilent // with the next place, the request would only be refused there
	}
	if l.queued >= l.maxQueue && !l.pushOutFor(p) {
		l.shed++
		return nil, nil, errQueueFull
	}
	w := &waiter{place: p, client: ClientOf(p.Client), patience: l.queueTimeout, settled: make(chan struct{})}
	if l.queues[p.Class].empty() {
		l.served[p.Class] = max(l.served[p.Class], l.clock) // no claim for the time without waiters
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

// room reports whether a request of a class may have a place at this time. The caller holds mu.
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
	// Requests that the limit does not hold have taken the places. Held requests keep a part all the same.
	return l.inFlight-l.passing < l.max && l.of[c] < max(1, least)
}

// pushOutFor makes room in a full queue for p, and reports whether it could. The request to go is of the class with
// the most waiting for its weight, of its route with the most waiting, of the client with the most waiting there, and
// the newest of its requests, which has waited least in vain. A newcomer gets in only at the cost of a class, a route
// of its own class, or a client of its own route that has more waiting than the newcomer's own would have with it. So
// a flood takes no room from another class, nor, in its own class, from another route, nor, on its own route, from
// another client.
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
	case admitted: // possibly in the same instant in which the wait ended: a place in hand is used
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

// admit fills free places from the queues: by the turns of the classes, of their routes, and of the routes' clients.
// The caller holds mu.
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
		l.settle(w, admitted) // before take: a request counts once, as waiting or as having a place
		w.slot = l.take(w.place)
	}
}

// turn returns the class that gets the next place: Fill, while fills have less than their reserved part, else the
// class that was given least for its weight since it has had waiters. So a class that is slow at the upstream takes
// no place of the reserved part from fills, and no class waits for ever. The caller holds mu.
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

// setLimits changes all limits. A request that waits already keeps its deadline.
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

// AssumedInstances is the number of instances until the number is known. Few fleets have more: instances that start
// while they cannot see each other do not overload the upstream that they are to protect.
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

// divide computes this instance's share. Places above a lowered number are not taken away, only not given out again.
// The caller holds mu.
func (l *limiter) divide() {
	l.max = l.perInstance
	if l.fleet > 0 {
		l.max = max(1, min(l.perInstance, l.fleet/l.instances))
	}
	l.admit()
	l.reclaim()
}
