package upstream

import (
	"context"
	"errors"
	"time"

	"cacheproxy/lockorder"
)

// clientsTime is how long, over the whole of a response, its client may leave bytes untaken before the place counts
// as a stream's: places are for the upstream's time. As long as the client is that slow and may have no further
// stream, yield is tried again after each clientsTime.
const clientsTime = 250 * time.Millisecond

// errUntaken is the end of a response whose client does not take it while others need the place.
var errUntaken = errors.New("the client takes its answer too slowly, and others need the place")

// stall is the clock of a response's body. It measures two turns. While a Read waits, the upstream has its turn: a
// body that makes no progress for timeout ends. Between two Reads the client has its turn. A client that takes bytes
// slowly, or not at all, is not the upstream's fault, and after clientsTime must not keep a place from others. A nil
// stall does nothing.
type stall struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc
	wait    *wait
	slot    *Slot
	give    func() // releases all that the response holds of the upstream

	// The reader of the body calls begin, end and stop. The timer's goroutine calls expire, perhaps at the moment in
	// which the turn changes. Then reading and since tell expire that its turn is over.
	mu      lockorder.Mutex[lockorder.Stall] // guards the fields below
	timer   *time.Timer
	reading bool      // the upstream has its turn
	since   time.Time // when the turn began
	yielded bool      // the client had to send when the clock last ran out
	ended   error     // why expire has ended the response; nil: not ended
	stopped bool      // the body was read to its end, or closed

	left  time.Duration // of clientsTime
	given bool          // the place was given up, for a stream or with the response
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

// end starts the client's turn, even without a turn of the upstream before. It returns why expire has ended the
// response by then.
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

// untaken carries out the end of a turn, and reports whether the response has to end because its client does not take
// it.
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
	// After a turn of the client to send, the upstream gets its whole timeout again, whenever that turn ended.
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

// clientIsLate exchanges the place for a stream's. When the client may have no further stream, the slot keeps the
// place as long as no other request wants it. The caller holds mu.
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
