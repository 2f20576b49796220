package upstream

import "time"

// fairQueue is the requests of one class that wait: a queue for each route that has any, and the routes in a ring in the
// order of their turns. The zero value is empty. The limiter's mu guards it.
type fairQueue struct {
	routes map[string]*routeQueue
	turn   *routeQueue // whose turn it is; nil: nobody waits
}

// routeQueue is the waiters of one route in the order of their arrival. It exists only while there are any.
type routeQueue struct {
	name           string
	oldest, newest *waiter
	length         int
	before, after  *routeQueue // in the ring
}

// waiter is one request in the queue. It is in its queue exactly as long as state is waiting.
type waiter struct {
	place      Place
	patience   time.Duration // for a place
	prev, next *waiter
	state      waiterState
	settled    chan struct{} // closed when state changes
}

type waiterState uint8

const (
	waiting waiterState = iota
	admitted
	pushedOut
	left
)

func (q *fairQueue) empty() bool { return q.turn == nil }

// length is how many requests of a route wait.
func (q *fairQueue) length(route string) int {
	if r := q.routes[route]; r != nil {
		return r.length
	}
	return 0
}

// longest is the route with the most waiting; of several, the one whose turn comes last. nil: nobody waits.
func (q *fairQueue) longest() (most *routeQueue) {
	for r := q.turn; r != nil; {
		if most == nil || r.length >= most.length {
			most = r
		}
		if r = r.after; r == q.turn {
			break
		}
	}
	return most
}

// next gives the waiter to be served now, which the caller must remove, and passes the turn on. nil: nobody waits.
func (q *fairQueue) next() *waiter {
	r := q.turn
	if r == nil {
		return nil
	}
	q.turn = r.after
	return r.oldest
}

func (q *fairQueue) push(w *waiter) {
	r := q.routes[w.place.Route]
	if r == nil {
		r = q.join(w.place.Route)
	}
	w.prev = r.newest
	if r.newest == nil {
		r.oldest = w
	} else {
		r.newest.next = w
	}
	r.newest = w
	r.length++
}

func (q *fairQueue) remove(w *waiter) {
	r := q.routes[w.place.Route]
	if w.prev == nil {
		r.oldest = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		r.newest = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	if r.length--; r.length == 0 {
		q.leave(r)
	}
}

// join takes a route into the ring. It comes last.
func (q *fairQueue) join(name string) *routeQueue {
	r := &routeQueue{name: name}
	if q.routes == nil {
		q.routes = make(map[string]*routeQueue)
	}
	q.routes[name] = r
	if q.turn == nil {
		r.before, r.after = r, r
		q.turn = r
		return r
	}
	r.before, r.after = q.turn.before, q.turn
	r.before.after, r.after.before = r, r
	return r
}

func (q *fairQueue) leave(r *routeQueue) {
	delete(q.routes, r.name)
	if r.after == r {
		q.turn = nil
		return
	}
	r.before.after, r.after.before = r.after, r.before
	if q.turn == r {
		q.turn = r.after
	}
}
