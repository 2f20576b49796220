package upstream

import (
	"context"
	"sync"
	"time"
)

// stall ends a response whose body makes no progress. Its clock runs while a Read waits: a client that takes what came
// slowly, or not at all, is not the origin's fault. A nil stall never ends anything.
type stall struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc
	wait    *wait

	mu      sync.Mutex
	timer   *time.Timer
	reading bool
	yielded bool // the client had its turn when the clock last ran out
	ended   bool
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
	// The origin has all of its time after the client's turn, whenever that ended.
	turn := s.wait.clientsTurn()
	if turn || s.yielded {
		s.yielded = turn
		s.timer.Reset(s.timeout)
		return
	}
	s.ended = true
	s.cancel(errStalled)
}
