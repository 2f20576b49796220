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
	// sendersTime is how long a client may keep its request's body waiting before its place is given to others.
	sendersTime = time.Second
	// placeRate is how fast a client must send to keep its place, in bytes a second: each byte gives it so much of sendersTime back.
	placeRate = 64 << 10
)

// atHandTime is the least time that a client has for its next bytes. Bytes may have come already, and a timer with no time left could fire before they
// are read.
const atHandTime = time.Millisecond

// worth is how much of its time a client gets back for n bytes.
func worth(n int) time.Duration { return time.Duration(n) * time.Second / placeRate }

// sending is the body of a request that holds a place. A place is for the time that the upstream needs, not for that of the client: if the client has
// used up sendersTime, by pausing or by sending slowly, the slot exchanges its place for a stream until bytes come, and these bytes wait for a place
// before the upstream gets them. So the upstream never works on more requests than there are places. If the client may have no further stream, the
// slot keeps its place as a lent one, see limiter.reclaim.
//
// The transport's goroutine reads, and the timer's gives the place away. Slot.until says whose turn it is when both come at once: the timer
// of a turn that has ended may be late, and find the client in its next one.
type sending struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	slot   *Slot
	timer  *time.Timer
	waited time.Duration // how long the client was waited for, less worth of what it has sent
}

// sendWith wraps the body of a request in a sending. gRPC calls have a rule of their own, see conversation.
func (u *Upstream) sendWith(req *http.Request, slot *Slot, cancel context.CancelCauseFunc) {
	if req.Body == nil || req.Body == http.NoBody || u.Converses() && httpcache.GRPC(req.Header) {
		return
	}
	s := &sending{ReadCloser: req.Body, ctx: req.Context(), cancel: cancel, slot: slot}
	s.timer = time.AfterFunc(sendersTime, s.giveWay)
	s.timer.Stop() // until it is the client's turn
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

// giveWay is called by the timer when the client's time is over.
func (s *sending) giveWay() { s.slot.giveWay(s.giveUp) }

// giveUp ends the request, whose place others want.
func (s *sending) giveUp() {
	s.cancel(errSilent)
	abandon(s.ReadCloser)
}

// errSilent is the end of a request whose client does not send its body.
var errSilent = &RequestBodyError{Err: fmt.Errorf("the client keeps a place from others and may have no further stream: %w", os.ErrDeadlineExceeded)}

// abandon ends a Read of a request's body, for which the transport is waiting.
func abandon(body io.ReadCloser) {
	if b, ok := body.(interface{ Abandon() }); ok {
		b.Abandon()
		return
	}
	body.Close() // its error cannot matter any more
}

// Abandon ends a read that is under way.
func (b *keptBody) Abandon() { abandon(b.ReadCloser) }

// awaitClient says that the client's next bytes are awaited, and that the slot keeps its place for left.
func (s *Slot) awaitClient(left time.Duration) {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	s.until = time.Now().Add(left)
}

// giveWay exchanges the place for a stream until comeBack. If no stream is allowed, the place counts as lent from then on: reclaim may take it back by
// calling giveUp, on a goroutine of its own, which has to end the request at once.
func (s *Slot) giveWay(giveUp func()) {
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.until.IsZero() || time.Now().Before(s.until) || s.held != heldPlace || s.lent != nil || s.over {
		return // the client's bytes came at the same moment as the timer fired
	}
	if s.exchange() == nil {
		s.away = true
		return
	}
	s.giveUp = giveUp
	s.lent = l.lent.PushBack(s)
	l.reclaim()
}

// reclaim takes back lent places: those of requests whose clients have used up their time to send, and could not have a stream instead. Invariant:
// while a place is lent, there is a place for every request that wants one, and for one more. So lent places keep no request waiting for longer than
// it takes to end one of theirs. The place that was lent first goes first; its request goes on if a stream has become available meanwhile. The caller
// holds mu.
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

// comeBack is called when the client's bytes have come. A slot that has given way waits for a place, until ctx ends, and gets one before all requests
// in the queues, since the upstream has begun to read its request.
func (s *Slot) comeBack(ctx context.Context) error {
	l := s.limiter
	l.mu.Lock()
	s.until = time.Time{}
	s.keep()
	if over := s.over; over || !s.away {
		l.mu.Unlock()
		if over { // the bytes came when the place had just been taken back
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
		l.returning.Remove(at) // or it was admitted in the same instant, and gives the place back at its end
		return fmt.Errorf("wait for a place: %w", endOf(ctx))
	}
}

// returning is a slot that has given way and waits for a place again.
type returning struct {
	slot    *Slot
	settled chan struct{} // closed when the slot has a place
}

// readmit gives free places to returning slots. The caller holds mu.
func (l *limiter) readmit() {
	// Requests that the limit holds keep a part of the places, even if requests that it does not hold have taken all.
	free := func() bool { return l.inFlight < l.max || l.inFlight-l.passing < max(1, l.max/reserved) }
	for free() && l.returning.Len() > 0 {
		back := l.returning.Remove(l.returning.Front()).(returning)
		if s := back.slot; s.held == heldStream { // else the request has ended
			s.drop()
			s.hold()
		}
		close(back.settled)
	}
}
