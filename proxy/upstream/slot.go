package upstream

import (
	"container/list"
	"net/netip"
	"time"
)

// Slot is a place at the upstream, held by one request. Its methods are safe for concurrent use: the place of a silent gRPC call, or
// of a client that does not take its answer, becomes a stream's by a timer, while the request itself may be ending.
type Slot struct {
	limiter *limiter
	account *account     // of its upstream; does not change
	client  netip.Prefix // on whose account a stream is; zero: nobody's. Does not change
	class   Class        // does not change
	route   string       // does not change
	silent  bool         // Place.Silent; does not change
	passing bool         // no limit holds it; does not change

	// Guarded by limiter.mu.
	held  slotKind
	until time.Time // until when the slot keeps its place while the client's next bytes are awaited, see sending; zero: none are awaited
	away  bool      // the slot has exchanged its place for a stream until the client's next bytes come

	lent   *list.Element // in limiter.lent; nil: the place is not lent
	giveUp func()        // ends the request; set while the place is lent
	over   bool          // the place was lent and taken back: the request is ending
}

type slotKind uint8

const (
	heldNothing slotKind = iota
	heldPlace
	heldStream
)

// hold takes a place, whether or not one is free. The caller holds the limiter's mu.
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

// keep ends the lending of the slot's place, if it is lent. The caller holds the limiter's mu.
func (s *Slot) keep() {
	if s.lent != nil {
		s.limiter.lent.Remove(s.lent)
		s.lent, s.giveUp = nil, nil
	}
}

// Release gives back what the slot holds. Calling it again does nothing.
func (s *Slot) Release() {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	s.drop()
	l.admit()
}

// stream exchanges the place for a stream, of which there may be more: an upgraded connection or an event stream would otherwise hold a place for
// hours. With errStreamsFull or errClientStreams the slot keeps its place.
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

// yield is stream for a response that its client does not take. If no further stream is allowed, the slot keeps its place, given is false, and wanted
// says whether other requests need the place; the caller then has to end the response. Otherwise slow clients, as many as there are streams and
// places, would block all requests that are no hits. If MaxStreams allows no streams at all, wanted is never set: slow answers then keep their places.
func (s *Slot) yield() (given, wanted bool) {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	err := s.exchange()
	return err == nil, err != nil && l.maxStreams > 0 && l.inFlight >= l.max
}

// exchange is stream under the limiter's mu, which the caller holds.
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
	if !s.passing { // a stream that the limit does not hold must not use up maxStreams: anybody can open one on a URL without a route
		l.streams++
		if s.client.IsValid() {
			l.streamsOf[s.client]++
		}
	}
	l.admit()
	return nil
}

// noStream says why a client may have no further stream; nil: it may. The caller holds mu.
func (l *limiter) noStream(client netip.Prefix) error {
	switch {
	case l.streams >= l.maxStreams:
		return errStreamsFull
	case client.IsValid() && l.streamsOf[client] >= max(1, l.maxStreams/clientShare):
		return errClientStreams
	}
	return nil
}

// drop forgets what the slot holds. The caller holds the limiter's mu.
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
