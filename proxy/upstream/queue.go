package upstream

import (
	"container/list"
	"net/netip"
	"time"
)

// fairQueue holds the waiting requests of one class: a queue for each route that has any, and the routes in the order
// of their turns. The zero value is empty. The limiter's mu guards a fairQueue.
type fairQueue struct {
	waiting int // requests in all of routes
	routes  map[string]*routeQueue
	turns   list.List // of *routeQueue; the front has the next turn
}

// routeQueue holds the waiting requests of one route: a line for each client that has any, and the clients in the
// order of their turns. A routeQueue exists only while it has waiters. A client that sends many requests so waits
// behind its own requests, and does not delay other clients.
type routeQueue struct {
	waiting int // requests in all of clients
	clients map[netip.Prefix]*clientLine
	turns   list.List     // of *clientLine; the front has the next turn
	turn    *list.Element // of fairQueue.turns
}

// clientLine holds the waiting requests of one client in the order of their arrival. It exists only while it has
// waiters. All requests without a particular client are those of one client.
type clientLine struct {
	waiters list.List     // of *waiter
	turn    *list.Element // of routeQueue.turns
}

func (c *clientLine) newest() *waiter { return c.waiters.Back().Value.(*waiter) }

// longest returns the client with the most waiting; of several, the client whose turn comes last.
func (r *routeQueue) longest() (most *clientLine) {
	for e := r.turns.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*clientLine); most == nil || c.waiters.Len() >= most.waiters.Len() {
			most = c
		}
	}
	return most
}

// waiter is one request in the queue. A waiter is in its queue exactly as long as state is waiting.
type waiter struct {
	place    Place
	client   netip.Prefix  // of place
	patience time.Duration // how long the request waits at most
	at       *list.Element // of clientLine.waiters
	state    waiterState
	slot     *Slot         // set when admitted
	settled  chan struct{} // closed when state changes
}

type waiterState uint8

const (
	waiting waiterState = iota
	admitted
	pushedOut
	left
)

func (q *fairQueue) empty() bool { return q.turns.Len() == 0 }

// length returns how many requests of a route wait, and how many of these are the client's.
func (q *fairQueue) length(route string, client netip.Prefix) (ofRoute, ofClient int) {
	r := q.routes[route]
	if r == nil {
		return 0, 0
	}
	if c := r.clients[client]; c != nil {
		ofClient = c.waiters.Len()
	}
	return r.waiting, ofClient
}

// longest returns the route with the most waiting; of several, the route whose turn comes last. nil: nobody waits.
func (q *fairQueue) longest() (most *routeQueue) {
	for e := q.turns.Front(); e != nil; e = e.Next() {
		if r := e.Value.(*routeQueue); most == nil || r.waiting >= most.waiting {
			most = r
		}
	}
	return most
}

// next returns the waiter to be served next, and passes both turns on. The caller must remove the waiter. nil: nobody
// waits.
func (q *fairQueue) next() *waiter {
	if q.empty() {
		return nil
	}
	turn := q.turns.Front()
	q.turns.MoveToBack(turn)
	r := turn.Value.(*routeQueue)
	turn = r.turns.Front()
	r.turns.MoveToBack(turn)
	return turn.Value.(*clientLine).waiters.Front().Value.(*waiter)
}

// push adds a waiter. A route that had no waiters goes to the end of the turns, and so does a client.
func (q *fairQueue) push(w *waiter) {
	q.waiting++
	r := q.routes[w.place.Route]
	if r == nil {
		if q.routes == nil {
			q.routes = make(map[string]*routeQueue)
		}
		r = &routeQueue{clients: make(map[netip.Prefix]*clientLine)}
		r.turn, q.routes[w.place.Route] = q.turns.PushBack(r), r
	}
	r.waiting++
	c := r.clients[w.client]
	if c == nil {
		c = new(clientLine)
		c.turn, r.clients[w.client] = r.turns.PushBack(c), c
	}
	w.at = c.waiters.PushBack(w)
}

func (q *fairQueue) remove(w *waiter) {
	q.waiting--
	r := q.routes[w.place.Route]
	r.waiting--
	c := r.clients[w.client]
	if c.waiters.Remove(w.at); c.waiters.Len() == 0 {
		delete(r.clients, w.client)
		r.turns.Remove(c.turn)
	}
	if r.waiting == 0 {
		delete(q.routes, w.place.Route)
		q.turns.Remove(r.turn)
	}
}
