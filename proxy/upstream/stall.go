package upstream

import (
	"context"
	"errors"
	"time"

	"cacheproxy/lockorder"
)

// clientsTime is how long, over a whole response, its client may leave bytes untaken before the slot exchanges its place for a stream. If it may have no
// further stream, the exchange is tried again each time clientsTime has passed.
const clientsTime = 250 * time.Millisecond

// errUntaken is the end of a response whose client does not take it, for want of places.
var errUntaken = errors.New("the client takes its answer too slowly, and others need the place")

// stall times a response's body. While a Read waits, it is the upstream's turn: if no byte comes for timeout, the response ends. Between two Reads it is
// the client's turn: a client that takes the response slowly is not the upstream's fault, but after clientsTime the response must not keep a place
// from others. A nil stall does nothing.
type stall struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc
	wait    *wait
	slot    *Slot
	give    func() // releases the attempt

	// The body's reader calls begin, end and stop; the timer calls expire on its own goroutine, possibly when the turn has just changed. Then
	// reading and since show that the timer was for the turn before.
	mu      lockorder.Mutex[lockorder.Stall] // guards what is below
	timer   *time.Timer
	reading bool      // it is the upstream's turn
	since   time.Time // when the turn began
	yielded bool      // when the timer last fired in the upstream's turn, the request's body was waiting for the client
	ended   error     // why expire has ended the response; nil: it has not
	stopped bool      // the body has come to its end, or was closed

	left  time.Duration // what is left of clientsTime
	given bool          // the slot has no place any more
}

// begin starts the upstream's turn.
func (s *stall) begin() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.timer == nil {
		s.start(s.timeout)
	} else {
		s.left = max(0, s.left-now.Sub(s.since))
		s.timer.Reset(s.timeout)
	}
	s.reading, s.since = true, now
}

// start makes the clock, for the first turn. The caller holds mu.
func (s *stall) start(turn time.Duration) {
	s.left = clientsTime
	s.timer = time.AfterFunc(turn, s.expire)
}

// end starts the client's turn, also where no turn of the upstream's came before. It returns what the response was ended with by then.
func (s *stall) end() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading, s.since = false, time.Now()
	switch {
	case s.timer == nil:
		s.start(clientsTime)
	case s.given || s.stopped:
		s.timer.Stop()
	default:
		s.timer.Reset(max(s.left, atHandTime))
	}
	return s.ended
}

// stop stops the clock for good.
func (s *stall) stop() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped = true; s.timer != nil {
		s.timer.Stop()
	}
}

func (s *stall) expire() {
	if s.untaken() {
		s.cancel(errUntaken)
		s.give()
	}
}

// untaken handles the end of the time for a turn, and reports whether the response has to end because its client does not take it.
func (s *stall) untaken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	passed := time.Since(s.since)
	switch {
	case s.stopped || s.ended != nil:
		return false
	case s.reading && passed < s.timeout, !s.reading && passed < s.left:
		return false // the turn has changed meanwhile
	case !s.reading:
		return s.clientIsLate()
	}
	// If the upstream was waiting for the client's bytes during this time, it gets the whole timeout again.
	turn := s.wait.clientsTurn()
	if turn || s.yielded {
		s.yielded, s.since = turn, time.Now()
		s.timer.Reset(s.timeout)
		return false
	}
	s.ended = errStalled
	s.cancel(errStalled)
	return false
}

// clientIsLate exchanges the place for a stream. If no further stream is allowed, the response keeps its place until another request wants one, and then
// is over. The caller holds mu.
func (s *stall) clientIsLate() (over bool) {
	given, wanted := s.slot.yield()
	s.given = given || wanted
	switch {
	case wanted:
		s.ended = errUntaken
	case !given:
		s.left, s.since = clientsTime, time.Now()
		s.timer.Reset(clientsTime)
	}
	return wanted
}
