package origin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Class says who is served first when the origin has no place free. Inside a class the longest waiting goes first.
type Class uint8

const (
	// Write is a request of a client that nothing but the origin can answer: writes and everything passed through. The
	// zero value.
	Write Class = iota
	// Fill is a read that found no usable copy.
	Fill
	// Refresh renews a copy that still serves; nobody waits for it.
	Refresh

	classes
)

// String is the class's name in logs.
func (c Class) String() string { return [classes]string{"write", "fill", "refresh"}[c] }

var (
	// ErrQueueFull means that every place is taken and so is the queue for them, or that the waiting request was pushed
	// out of a full queue by one of a higher class.
	ErrQueueFull = errors.New("every place at the upstream and in its queue is taken")
	// ErrQueueTimeout means that no place became free within the queue's deadline.
	ErrQueueTimeout = errors.New("no place at the upstream became free in time")
	// ErrStreamsFull means that the response is a stream and that as many as allowed are open.
	ErrStreamsFull = errors.New("as many streams as the upstream may have are open")
)

// limiter hands out places. It has no goroutine of its own: a place is passed on by the request that gives it back.
type limiter struct {
	maxQueue     int
	maxStreams   int
	queueTimeout time.Duration

	mu       sync.Mutex // guards everything below, and the fields of every waiter
	max      int
	inFlight int
	streams  int
	queued   int
	shed     uint64
	queues   [classes]queue
}

// waiter is one request in the queue. It is in its queue exactly as long as state is waiting.
type waiter struct {
	class      Class
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

// Slot is a place at the origin, held by one request. Its methods are safe for concurrent use.
type Slot struct {
	limiter *limiter
	held    slotKind // guarded by limiter.mu
}

type slotKind uint8

const (
	heldNothing slotKind = iota
	heldPlace
	heldStream
)

func newLimiter(o Options) *limiter {
	return &limiter{max: o.MaxInFlight, maxQueue: o.MaxQueue, maxStreams: o.MaxStreams, queueTimeout: o.QueueTimeout}
}

// acquire returns a place, at once or after waiting for one. It fails with ErrQueueFull, ErrQueueTimeout or, as soon as
// ctx ends, with the cause of that.
func (l *limiter) acquire(ctx context.Context, class Class) (*Slot, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("wait for a place: %w", endOf(ctx))
	}
	w, err := l.enter(class)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return &Slot{limiter: l, held: heldPlace}, nil
	}
	return l.wait(ctx, w)
}

// enter takes a free place (a nil waiter) or joins the queue.
func (l *limiter) enter(class Class) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inFlight < l.max {
		l.inFlight++
		return nil, nil
	}
	if l.queued >= l.maxQueue && !l.pushOutBelow(class) {
		l.shed++
		return nil, ErrQueueFull
	}
	w := &waiter{class: class, settled: make(chan struct{})}
	l.queues[class].push(w)
	l.queued++
	return w, nil
}

// pushOutBelow makes room in a full queue: the newest waiter of the lowest class below class has to go.
func (l *limiter) pushOutBelow(class Class) bool {
	for c := classes - 1; c > class; c-- {
		if w := l.queues[c].newest; w != nil {
			l.shed++
			l.settle(w, pushedOut)
			return true
		}
	}
	return false
}

func (l *limiter) wait(ctx context.Context, w *waiter) (*Slot, error) {
	deadline := time.NewTimer(l.queueTimeout)
	defer deadline.Stop()
	var err error
	select {
	case <-w.settled:
	case <-deadline.C:
		err = ErrQueueTimeout
	case <-ctx.Done():
		err = fmt.Errorf("wait for a place: %w", endOf(ctx))
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	switch w.state {
	case admitted: // possibly in the same instant in which it gave up: a place in hand is used
		return &Slot{limiter: l, held: heldPlace}, nil
	case pushedOut:
		return nil, ErrQueueFull
	}
	if errors.Is(err, ErrQueueTimeout) {
		l.shed++
	}
	l.settle(w, left)
	return nil, err
}

// settle takes w out of its queue. The caller holds mu.
func (l *limiter) settle(w *waiter, state waiterState) {
	l.queues[w.class].remove(w)
	l.queued--
	w.state = state
	close(w.settled)
}

// admit fills free places from the queue, highest class first. The caller holds mu.
func (l *limiter) admit() {
	for l.inFlight < l.max && l.queued > 0 {
		for c := range l.queues {
			if w := l.queues[c].oldest; w != nil {
				l.inFlight++
				l.settle(w, admitted)
				break
			}
		}
	}
}

// setMax changes the number of places. Places above a lowered number are not taken away, only not given out again.
func (l *limiter) setMax(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max = max(n, 1)
	l.admit()
}

// Release gives back what the slot holds. Calling it again does nothing.
func (s *Slot) Release() {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	s.drop()
	l.admit()
}

// Stream exchanges the place for a stream, of which there are more: an upgraded connection or an event stream would
// otherwise hold a place for hours. With ErrStreamsFull the slot keeps its place.
func (s *Slot) Stream() error {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.held != heldPlace {
		return nil
	}
	if l.streams >= l.maxStreams {
		l.shed++
		return ErrStreamsFull
	}
	s.drop()
	s.held = heldStream
	l.streams++
	l.admit()
	return nil
}

// drop forgets what the slot holds. The caller holds the limiter's mu.
func (s *Slot) drop() {
	switch s.held {
	case heldPlace:
		s.limiter.inFlight--
	case heldStream:
		s.limiter.streams--
	}
	s.held = heldNothing
}

// queue is a list of waiters in the order of their arrival.
type queue struct{ oldest, newest *waiter }

func (q *queue) push(w *waiter) {
	w.prev = q.newest
	if q.newest == nil {
		q.oldest = w
	} else {
		q.newest.next = w
	}
	q.newest = w
}

func (q *queue) remove(w *waiter) {
	if w.prev == nil {
		q.oldest = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.newest = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}
