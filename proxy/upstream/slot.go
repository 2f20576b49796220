package upstream

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

// Release gives back what the slot holds. Calling it again does nothing.
func (s *Slot) Release() {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	s.drop()
	l.admit()
}

// stream exchanges the place for a stream, of which there are more: an upgraded connection or an event stream would
// otherwise hold a place for hours. With errStreamsFull the slot keeps its place.
func (s *Slot) stream() error {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.held != heldPlace {
		return nil
	}
	if l.streams >= l.maxStreams {
		l.shed++
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
