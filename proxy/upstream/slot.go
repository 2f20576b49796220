package upstream

import (
	"container/list"
	"net/netip"
	"time"
)

// Slot is a place at the upstream that one request holds. Its methods are safe for concurrent use. The place of a
// silent gRPC call, or of a client that does not take its answer, becomes a stream's on a timer's goroutine, while
// the request itself may be ending.
type Slot struct {
	limiter *limiter
	account *account     // of the upstream; does not change
	client  netip.Prefix // for whom a stream counts; zero: for nobody. Does not change
	class   Class        // does not change
	route   string       // does not change
	silent  bool         // Place.Silent; does not change
	passing bool         // no limit holds it; does not change

	// The fields from here on are guarded by limiter.mu.
	held  slotKind
	until time.Time // end of the client's turn with a place, see sending; zero: not the client's turn
	away  bool      // the place is a stream's until the client's bytes come

	lent   *list.Element // of limiter.lent; nil: not lent
	giveUp func()        // ends the request; set while the place is lent
	over   bool          // the place was lent and taken back
}

type slotKind uint8

const (
	heldNothing slotKind = iota
	heldPlace
	heldStream
)

// hold takes a place, free or not. The caller holds the limiter's mu.
func (s *Slot) hold() {
	l := s.limiter
	s.held = heldPlace
	l.inFlight++
	if s.passing {
		l.passing++
	} else {
		l.of[s.class]++
	}
	s.account.count(inFlight, 1)
	l.reclaim()
}

// keep ends the lending of a place, which stays with the slot. The caller holds the limiter's mu.
func (s *Slot) keep() {
	if s.lent != nil {
		s.limiter.lent.Remove(s.lent)
		s.lent, s.giveUp = nil, nil
	}
}

// Release gives back the place or stream of the slot. A second call does nothing.
func (s *Slot) Release() {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	s.drop()
	l.admit()
}

// stream exchanges the place for a stream's. Otherwise an upgraded connection or an event stream would hold a place
// for hours; streams are more than places. With errStreamsFull or errClientStreams the slot keeps its place.
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

// yield is stream for a response whose client does not take it. given is false when the client may have no further
// stream, because it has its share or all streams are taken: then the slot keeps its place. wanted says whether other
// requests may be waiting for a place. Otherwise slow clients, as many as streams and places, would stop everything
// but hits. With MaxStreams configured to none, wanted is false: the operator lets slow answers hold places.
func (s *Slot) yield() (given, wanted bool) {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	err := s.exchange()
	return err == nil, err != nil && l.maxStreams > 0 && l.inFlight >= l.max
}

// exchange is stream for a caller that holds the limiter's mu.
func (s *Slot) exchange() error {
	l := s.limiter
	if s.held != heldPlace {
		return nil
	}
	if !s.passing {
		if err := l.noStream(s.client); err != nil {
			return err
		}
	}
	s.drop()
	s.held = heldStream
	s.account.count(inStreams, 1)
	if !s.passing { // a stranger's stream on a URL without a route must not end held ones
		l.streams++
		if s.client.IsValid() {
			l.streamsOf[s.client]++
		}
	}
	l.admit()
	return nil
}

// noStream returns why a client may have no further stream; nil: it may. The caller holds mu.
func (l *limiter) noStream(client netip.Prefix) error {
	switch {
	case l.streams >= l.maxStreams:
		return errStreamsFull
	case client.IsValid() && l.streamsOf[client] >= max(1, l.maxStreams/clientShare):
		return errClientStreams
	}
	return nil
}

// drop gives up the place or stream of the slot without passing it on. The caller holds the limiter's mu.
func (s *Slot) drop() {
	l := s.limiter
	switch s.held {
	case heldPlace:
		l.inFlight--
		s.keep()
		if s.over {
			l.ending--
		}
		if s.passing {
			l.passing--
		} else {
			l.of[s.class]--
		}
		s.account.count(inFlight, -1)
		l.shadowLeave()
	case heldStream:
		s.account.count(inStreams, -1)
		if s.passing {
			break
		}
		if l.streams--; !s.client.IsValid() {
			break
		}
		if l.streamsOf[s.client]--; l.streamsOf[s.client] == 0 {
			delete(l.streamsOf, s.client)
		}
	}
	s.held = heldNothing
}
