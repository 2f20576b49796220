package upstream

import (
	"context"
	"errors"
	"time"

	"cacheproxy/lockorder"
)

// clientsTime is how long, over the whole of a response, its client may leave what has come before the place counts as a stream's:
// places are for the upstream's time. While the client is that slow and may have no further stream, it is asked again as often.
const clientsTime = 250 * time.Millisecond

// errUntaken is the end of a response whose client does not take it, for want of places.
var errUntaken = errors.New("the client takes its answer too slowly, and others need the place")

// stall is the clock of a response's body. It has two hands. While a Read waits it is the upstream's turn: a body that makes no
// progress for timeout ends. Between two Reads it is the client's: one that takes what came slowly, or not at all, is not the
// upstream's fault, and after clientsTime no reason to keep a place from others. A nil stall does nothing.
type stall struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc
	wait    *wait
	slot    *Slot
	give    func() // gives back all that the response holds of the upstream

	// The reader of the body begins, ends and stops; the timer's goroutine expires, perhaps at the moment in which the turn changes.
	// Then reading and since say whether it is about a turn that has passed.
	mu      lockorder.Mutex[lockorder.Stall] // guards what is below
	timer   *time.Timer
	reading bool      // it is the upstream's turn
	since   time.Time // the turn began
	yielded bool      // the client had to send when the clock last ran out
	ended   error     // what expire has ended the response with; nil: it has not
	stopped bool      // the body has come to its end, or was closed

	left  time.Duration // of clientsTime
	given bool          // the place is a stream's, or nobody's
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

// untaken carries out the end of a turn, and reports whether the response has to end because its client does not take it.
func (s *stall) untaken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	passed := time.Since(s.since)
	switch {
	case s.stopped || s.ended != nil:
		return false
	case s.reading && passed < s.timeout, !s.reading && passed < s.left:
		return false // the clock was set anew meanwhile
	case !s.reading:
		return s.clientIsLate()
	}
	// The upstream has all of its time after the client's turn, whenever that ended.
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

// clientIsLate gives up the place for a stream's. Where the client may have no further stream, it keeps the place for as long as
// nobody else wants it. The caller holds mu.
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
