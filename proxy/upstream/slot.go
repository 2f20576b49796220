package upstream

// Slot is a place at the upstream, held by one request. Its methods are safe for concurrent use: the place of a silent gRPC call
// becomes a stream's by a timer, while the request itself may be ending.
type Slot struct {
	limiter *limiter

	// Guarded by limiter.mu.
	held  slotKind
	sends bool // the client's next bytes are waited for, see sending
	away  bool // the place is a stream's until they come
}

type slotKind uint8

const (
	heldNothing slotKind = iota
	heldPlace
	heldStream
)

// Release gives back what the slot holds. Calling it again does nothing.
func (s *Slot) Release() {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	s.drop()
	l.admit()
}

// stream exchanges the place for a stream's, of which there are more: an upgraded connection or an event stream would
// otherwise hold a place for hours. With errStreamsFull the slot keeps its place.
func (s *Slot) stream() error {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	s.away = false
	err := s.exchange()
	if err != nil {
		l.shed++
	}
	return err
}

// exchange is stream under the limiter's mu, which the caller holds.
func (s *Slot) exchange() error {
	l := s.limiter
	switch {
	case s.held != heldPlace:
		return nil
	case l.streams >= l.maxStreams:
		return errStreamsFull
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
