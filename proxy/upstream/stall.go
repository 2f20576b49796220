package upstream

import (
	"context"
	"time"

	"cacheproxy/lockorder"
)

// stall ends a response whose body makes no progress. Its clock runs while a Read waits: a client that takes what came
// slowly, or not at all, is not the upstream's fault. A nil stall never ends anything.
type stall struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc
	wait    *wait

	// The reader of the body begins and ends; the timer's goroutine expires, perhaps at the moment in which a read ends. Then
	// reading says who was first.
	mu      lockorder.Mutex[lockorder.Stall] // guards what is below
	timer   *time.Timer
	reading bool
	yielded bool // the client had its turn when the clock last ran out
	ended   bool // expire has ended the response
}

// begin starts the clock anew.
func (s *stall) begin() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = true
	if s.timer == nil {
		s.timer = time.AfterFunc(s.timeout, s.expire)
		return
	}
	s.timer.Reset(s.timeout)
}

// end stops the clock and reports whether the response was ended.
func (s *stall) end() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
	s.timer.Stop()
	return s.ended
}

func (s *stall) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.reading {
		return
	}
	// The upstream has all of its time after the client's turn, whenever that ended.
	turn := s.wait.clientsTurn()
	if turn || s.yielded {
		s.yielded = turn
		s.timer.Reset(s.timeout)
		return
	}
	s.ended = true
	s.cancel(errStalled)
}
