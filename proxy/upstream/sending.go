package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"cacheproxy/policy/httpcache"
)

const (
	// sendersTime is how long a client may keep its request's body waiting before its place goes to others.
	sendersTime = time.Second
	// placeRate is how fast a client must send to keep its place, in bytes a second. Each byte gives the client a
	// part of sendersTime back.
	placeRate = 64 << 10
)

// atHandTime is the least time that a client has for its next bytes. Bytes that have come already are no reason to
// give a place away, and a timer of zero could run before they are read.
const atHandTime = time.Millisecond

// worth returns how much of its time a client gets back for n bytes.
func worth(n int) time.Duration { return time.Duration(n) * time.Second / placeRate }

// sending is the body of a request that holds a place. Places are for the upstream's time, not for the client's. A
// client that is silent for sendersTime, or on average as slow, gives its place away. Its request counts as a stream
// until bytes come. The bytes wait for a place before the upstream gets them. So the upstream never has more requests
// to work on than places. When the client may have no further stream, the request keeps the place lent, see
// limiter.reclaim.
//
// The transport's goroutine reads, and the timer's gives the place away. Slot.until says whose turn it is when both
// come at once: the timer of a turn that has ended may be late, and find the client in its next turn.
type sending struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	slot   *Slot
	timer  *time.Timer
	waited time.Duration // for the client, less the time given back
}

// sendWith makes a request's body give its place away while its client is silent. A gRPC call has a rule of its own,
// see conversation.
func (u *Upstream) sendWith(req *http.Request, slot *Slot, cancel context.CancelCauseFunc) {
	if req.Body == nil || req.Body == http.NoBody || u.Converses() && httpcache.GRPC(req.Header) {
		return
	}
	s := &sending{ReadCloser: req.Body, ctx: req.Context(), cancel: cancel, slot: slot}
	s.timer = time.AfterFunc(sendersTime, s.giveWay)
	s.timer.Stop() // until the client's turn
	if slot.silent {
		s.waited = sendersTime
	}
	req.Body = s
}

func (s *sending) Read(p []byte) (int, error) {
	start := time.Now()
	left := max(sendersTime-s.waited, atHandTime)
	s.slot.awaitClient(left)
	s.timer.Reset(left)
	n, err := s.ReadCloser.Read(p)
	s.timer.Stop()
	s.waited = min(sendersTime, max(0, s.waited+time.Since(start)-worth(n)))
	if err == nil || errors.Is(err, io.EOF) {
		if err := s.slot.comeBack(s.ctx); err != nil {
			return 0, err
		}
	}
	return n, err
}

// giveWay runs when the client's time is over.
func (s *sending) giveWay() { s.slot.giveWay(s.giveUp) }

// giveUp ends the request, because others want its place.
func (s *sending) giveUp() {
	s.cancel(errSilent)
	abandon(s.ReadCloser)
}

// errSilent is the end of a request whose client does not send its body.
var errSilent = &RequestBodyError{Err: fmt.Errorf("the client keeps a place from others and may have no further stream: %w", os.ErrDeadlineExceeded)}

// abandon ends a read of a request's body on which the transport waits.
func abandon(body io.ReadCloser) {
	if b, ok := body.(interface{ Abandon() }); ok {
		b.Abandon()
		return
	}
	body.Close() // the error cannot matter any more
}

// Abandon ends a read that is under way.
func (b *keptBody) Abandon() { abandon(b.ReadCloser) }

// awaitClient begins the client's turn: for the time left, the request waits for the client's next bytes with its
// place.
func (s *Slot) awaitClient(left time.Duration) {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	s.until = time.Now().Add(left)
}

// giveWay exchanges the place for a stream's until comeBack. When the client may have no further stream, the place is
// lent from here on. giveUp must end the request at once; it is called on a goroutine of its own when a lent place is
// taken back.
func (s *Slot) giveWay(giveUp func()) {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.until.IsZero() || time.Now().Before(s.until) || s.held != heldPlace || s.lent != nil || s.over {
		return // the turn ended as the timer ran out
	}
	if s.exchange() == nil {
		s.away = true
		return
	}
	s.giveUp = giveUp
	s.lent = l.lent.PushBack(s)
	l.reclaim()
}

// reclaim takes lent places back. Their holders are requests whose clients have used up their time to send, and could
// not have a stream instead. Invariant: while a place is lent, every request that wants a place has one, and one more
// place is free. So lent places delay neither the next request nor a waiting one for longer than the end of one
// request takes, whoever came first. The place that was lent first goes first, in exchange for a stream if one has
// become free meanwhile. The caller holds mu.
func (l *limiter) reclaim() {
	for l.lent.Len() > 0 && l.inFlight-l.ending+l.queued+l.returning.Len() >= l.max {
		s := l.lent.Front().Value.(*Slot)
		if s.exchange() == nil {
			s.away = true
			continue
		}
		giveUp := s.giveUp
		s.keep()
		s.over = true
		l.ending++
		go giveUp()
	}
}

// comeBack ends the client's turn. A slot that has given way waits for a place, before all requests that have not had
// one, and as long as ctx allows: a request that the upstream has begun to read goes on.
func (s *Slot) comeBack(ctx context.Context) error {
	l := s.limiter
	l.mu.Lock()
	s.until = time.Time{}
	s.keep()
	if over := s.over; over || !s.away {
		l.mu.Unlock()
		if over { // the bytes came as the place was taken back
			return errSilent.Err
		}
		return nil
	}
	s.away = false
	if s.passing {
		if s.held == heldStream { // otherwise the request has ended
			s.drop()
			s.hold()
		}
		l.mu.Unlock()
		return nil
	}
	back := returning{slot: s, settled: make(chan struct{})}
	at := l.returning.PushBack(back)
	l.admit()
	l.reclaim()
	l.mu.Unlock()
	select {
	case <-back.settled:
		return nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		l.returning.Remove(at) // or back was admitted at the same instant, and Release gives the place back
		return fmt.Errorf("wait for a place: %w", endOf(ctx))
	}
}

// returning is a slot that waits for the place that it had given away.
type returning struct {
	slot    *Slot
	settled chan struct{} // closed when the slot has a place
}

// readmit gives free places to slots that had one. The caller holds mu.
func (l *limiter) readmit() {
	// Requests that the limit holds keep a part beside the requests that no limit holds.
	free := func() bool { return l.inFlight < l.max || l.inFlight-l.passing < max(1, l.max/reserved) }
	for free() && l.returning.Len() > 0 {
		back := l.returning.Remove(l.returning.Front()).(returning)
		if s := back.slot; s.held == heldStream { // otherwise the request has ended
			s.drop()
			s.hold()
		}
		close(back.settled)
	}
}
