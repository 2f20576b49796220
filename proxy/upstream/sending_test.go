package upstream

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/test/bubbles"
)

// uploads are requests whose bodies a test writes.
type uploads struct {
	t       *testing.T
	o       *Upstream
	calls   sync.WaitGroup
	failed  chan error
	readers []*io.PipeReader
}

func (u *uploads) start() *io.PipeWriter {
	r, w := io.Pipe()
	u.readers = append(u.readers, r)
	req := request(u.t, u.o, "POST", r)
	u.calls.Go(func() {
		res, err := u.o.RoundTrip(req)
		if err != nil {
			u.failed <- err
			return
		}
		res.Body.Close()
	})
	return w
}

func (u *uploads) want(what string, inFlight, streams int) {
	u.t.Helper()
	synctest.Wait()
	if u.o.InFlight() != inFlight || u.o.Streams() != streams {
		u.t.Errorf("%s: %d in flight, %d streams; want %d and %d", what, u.o.InFlight(), u.o.Streams(), inFlight, streams)
	}
}

// send writes n bytes.
func send(w io.Writer, n int) { _, _ = w.Write(make([]byte, n)) }

// A client that sends nothing, or as good as nothing, keeps its place for sendersTime. What comes after it waits for a place, before
// those who have not had one, so that no more is under way than there are places for.
func TestSilentClientsGiveWay(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		working, most := 0, 0
		var mu sync.Mutex
		o := serveInBubble(t, Options{MaxInFlight: 2, MaxQueue: 1, Timeout: time.Hour, QueueTimeout: time.Hour}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			mu.Lock()
			working++
			most = max(most, working)
			mu.Unlock()
			<-time.After(10 * time.Second)
			mu.Lock()
			working--
			mu.Unlock()
		})
		u := &uploads{t: t, o: o, failed: make(chan error, 10)}
		var bodies []*io.PipeWriter
		for range 2 {
			bodies = append(bodies, u.start())
		}
		for range 2 {
			<-time.After(sendersTime / 2)
			for _, w := range bodies {
				send(w, 1) // now and then one, which is no progress
			}
		}
		<-time.After(time.Millisecond) // what the two bytes are worth
		u.want("after their time", 0, 2)
		for range 2 {
			w := u.start()
			send(w, 3)
			w.Close()
		}
		u.want("others have come", 2, 2)
		w := u.start() // in the queue
		go func() { send(w, 3); w.Close() }()
		for _, w := range bodies {
			w.Close()
		}
		u.want("they have sent the rest and wait", 2, 2)
		<-time.After(10*time.Second + 1)
		u.want("they go before the queue", 2, 0)
		if o.Queued() != 1 {
			t.Errorf("%d in the queue, want the one that came last", o.Queued())
		}
		u.calls.Wait()
		u.want("in the end", 0, 0)
		if most != 2 || len(u.failed) > 0 {
			t.Errorf("%d at work at once, and there are 2 places; %d failed", most, len(u.failed))
		}
	})
}

// A client that sends fast enough keeps its place.
func TestSendersKeepTheirPlace(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		o := serveInBubble(t, Options{MaxInFlight: 1, MaxStreams: 1}, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		u := &uploads{t: t, o: o, failed: make(chan error, 10)}
		w := u.start()
		for range 20 {
			<-time.After(sendersTime / 2)
			send(w, placeRate/2)
			u.want("in time", 1, 0)
		}
		w.Close()
		u.calls.Wait()
		u.want("in the end", 0, 0)
	})
}

// Who may have no stream keeps the place until others want it, and is given up then.
func TestSilentClientsWithoutStreams(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		o := serveInBubble(t, Options{MaxInFlight: 2, MaxStreams: -1, QueueTimeout: time.Hour}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		})
		u := &uploads{t: t, o: o, failed: make(chan error, 10)}
		u.start()
		<-time.After(time.Minute)
		u.want("alone", 1, 0)
		u.start()
		<-time.After(2 * sendersTime)
		if err := <-u.failed; Classify(err) != policy.ClientGone || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, new(*RequestBodyError)) {
			t.Errorf("given up with %v", err)
		}
		for _, r := range u.readers {
			r.CloseWithError(io.EOF)
		}
		u.calls.Wait()
		u.want("in the end", 0, 0)
	})
}

// A place that is held for nothing is taken back in the instant in which somebody would have to wait for it, and no sooner; each who
// comes takes one. Who sends on in time keeps it.
func TestLentPlacesAreTakenBack(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		o := serveInBubble(t, Options{MaxInFlight: 4, MaxStreams: -1, QueueTimeout: time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		})
		u := &uploads{t: t, o: o, failed: make(chan error, 10)}
		var bodies []*io.PipeWriter
		for range 3 {
			bodies = append(bodies, u.start())
			<-time.After(100 * time.Millisecond)
		}
		<-time.After(90 * sendersTime / 4)
		u.want("as long as a place is free", 3, 0)
		send(bodies[0], 2*placeRate)
		synctest.Wait()
		var others []*Slot
		for i := range 3 {
			slot, err := o.Acquire(t.Context(), Place{Class: Fill})
			if err != nil {
				t.Fatalf("%d: %v", i, err)
			}
			others = append(others, slot)
			synctest.Wait()
			if want := min(i+1, 2); len(u.failed) != want {
				t.Errorf("%d have come and %d were given up, want %d", i+1, len(u.failed), want)
			}
		}
		u.want("when others have come", 4, 0)
		bodies[0].Close() // the one that has sent on
		for range 2 {
			if err := <-u.failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("given up with %v", err)
			}
		}
		for _, r := range u.readers[1:] {
			r.CloseWithError(io.EOF)
		}
		u.calls.Wait()
		if len(u.failed) > 0 {
			t.Errorf("the one that has sent on: %v", <-u.failed)
		}
		for _, s := range others {
			s.Release()
		}
	})
}

// A place that was lent for want of a stream becomes one where one has become free by the time at which it is wanted.
func TestLentPlacesBecomeStreams(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		o := serveInBubble(t, Options{MaxInFlight: 2, MaxStreams: 1, QueueTimeout: time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		})
		u := &uploads{t: t, o: o, failed: make(chan error, 10)}
		stream := u.start()
		<-time.After(2 * sendersTime)
		lent := u.start()
		<-time.After(2 * sendersTime)
		u.want("one has the stream", 1, 1)
		stream.Close() // and with it comes back to the last place
		u.want("the stream is free, and then the other's", 0, 1)
		for range 2 {
			slot, err := o.Acquire(t.Context(), Place{})
			if err != nil {
				t.Fatal(err)
			}
			defer slot.Release()
		}
		u.want("others have come", 2, 1)
		u.o.limiter.setLimits(Options{MaxInFlight: 3, MaxStreams: 1})
		lent.Close() // and comes back
		u.calls.Wait()
		if len(u.failed) > 0 {
			t.Errorf("given up: %v", <-u.failed)
		}
	})
}

// Who has kept others waiting already, and may have no stream, does not wait among those who have not.
func TestSilentClientsDoNotWaitForAPlace(t *testing.T) {
	l := newLimiter(Options{MaxInFlight: 1, MaxQueue: 2, MaxStreams: -1, QueueTimeout: time.Hour})
	first := mustAcquire(t, l, Write)
	defer first.Release()
	if _, err := l.acquire(t.Context(), Place{Silent: true}); !errors.Is(err, errSilent) || l.queued != 0 {
		t.Errorf("%v, %d in the queue", err, l.queued)
	}
}

// A request that ends while it waits for the place that it had given away holds nothing.
func TestEndWhileComingBack(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		l := newLimiter(Options{MaxInFlight: 1, MaxStreams: 1})
		slot := &Slot{limiter: l, held: heldPlace}
		l.inFlight = 1
		slot.awaitClient(0)
		ended := func() { t.Error("given up") }
		if slot.giveWay(ended); l.inFlight != 0 || l.streams != 1 {
			t.Fatal(l.inFlight, l.streams)
		}
		other, err := l.acquire(t.Context(), Place{})
		if err != nil {
			t.Fatal(err)
		}
		back := make(chan error)
		go func() { back <- slot.comeBack(t.Context()) }()
		synctest.Wait()
		slot.Release()
		other.Release()
		if err := <-back; err != nil || l.inFlight != 0 || l.streams != 0 || l.returning.Len() != 0 {
			t.Error(err, l.inFlight, l.streams, l.returning.Len())
		}
		// The timer of a turn that is over changes nothing.
		if slot.giveWay(ended); l.lent.Len() != 0 {
			t.Error("lent")
		}
	})
}

// A timer that is late finds the client in its next turn, of which it says nothing: the bytes that it was set for have come.
func TestLateTimerLendsNothing(t *testing.T) {
	l := newLimiter(Options{MaxInFlight: 4, MaxStreams: -1})
	slot := mustAcquire(t, l, Write)
	defer slot.Release()
	slot.awaitClient(0)
	if err := slot.comeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	slot.awaitClient(time.Hour)
	if slot.giveWay(func() { t.Error("given up") }); l.lent.Len() != 0 {
		t.Error("lent by the clock of the turn before")
	}
	slot.awaitClient(0)
	if slot.giveWay(func() {}); l.lent.Len() != 1 {
		t.Error("not lent by its own")
	}
}
