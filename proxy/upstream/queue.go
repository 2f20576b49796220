package upstream

import (
	"container/list"
	"time"
)

// fairQueue is the requests of one class that wait: a queue for each route that has any, and the routes in the order of their
// turns. The zero value is empty. The limiter's mu guards it.
type fairQueue struct {
	waiting int // in all of routes
	routes  map[string]*routeQueue
	turns   list.List // of *routeQueue; whose turn it is stands in front
}

// routeQueue is the waiters of one route in the order of their arrival. It exists only while there are any.
type routeQueue struct {
	waiters list.List     // of *waiter
	turn    *list.Element // of fairQueue.turns
}

func (r *routeQueue) newest() *waiter { return r.waiters.Back().Value.(*waiter) }

// waiter is one request in the queue. It is in its queue exactly as long as state is waiting.
type waiter struct {
	place    Place
	patience time.Duration // for a place
	at       *list.Element // of routeQueue.waiters
	state    waiterState
	slot     *Slot         // once admitted
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

// length is how many requests of a route wait.
func (q *fairQueue) length(route string) int {
	if r := q.routes[route]; r != nil {
		return r.waiters.Len()
	}
	return 0
}

// longest is the route with the most waiting; of several, the one whose turn comes last. nil: nobody waits.
func (q *fairQueue) longest() (most *routeQueue) {
	for e := q.turns.Front(); e != nil; e = e.Next() {
		if r := e.Value.(*routeQueue); most == nil || r.waiters.Len() >= most.waiters.Len() {
			most = r
		}
	}
	return most
}

// next gives the waiter to be served now, which the caller must remove, and passes the turn on. nil: nobody waits.
func (q *fairQueue) next() *waiter {
	if q.empty() {
		return nil
	}
	turn := q.turns.Front()
	q.turns.MoveToBack(turn)
	return turn.Value.(*routeQueue).waiters.Front().Value.(*waiter)
}

// push adds a waiter. A route that had none comes last.
func (q *fairQueue) push(w *waiter) {
	q.waiting++
	r := q.routes[w.place.Route]
	if r == nil {
		if q.routes == nil {
			q.routes = make(map[string]*routeQueue)
		}
		r = new(routeQueue)
		r.turn, q.routes[w.place.Route] = q.turns.PushBack(r), r
	}
	w.at = r.waiters.PushBack(w)
}

func (q *fairQueue) remove(w *waiter) {
	q.waiting--
	r := q.routes[w.place.Route]
	if r.waiters.Remove(w.at); r.waiters.Len() == 0 {
		delete(q.routes, w.place.Route)
		q.turns.Remove(r.turn)
	}
}
