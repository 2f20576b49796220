package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/test/bubbles"
)

// line is requests that wait at a limiter with one place, and what becomes of them.
type line struct {
	t     *testing.T
	l     *limiter
	first *Slot
	mu    sync.Mutex
	order []string // who got the place, in that order
	full  []string // who was refused for want of room
}

func newLine(t *testing.T, room int) *line {
	q := &line{t: t, l: testLimiter(1, room)}
	q.first = mustAcquire(t, q.l, Write)
	return q
}

// enter sends a request of nobody in particular that gives the place on as soon as it has it.
func (q *line) enter(c Class, route, name string) {
	q.t.Helper()
	q.enterAs("", c, route, name)
}

// enterAs is enter for a client's.
func (q *line) enterAs(client string, c Class, route, name string) {
	q.t.Helper()
	var from netip.Addr
	if client != "" {
		from = netip.MustParseAddr(client)
	}
	go func() {
		s, err := q.l.acquire(q.t.Context(), Place{Class: c, Route: route, Client: from})
		q.mu.Lock()
		defer q.mu.Unlock()
		switch {
		case err == nil:
			q.order = append(q.order, name)
			s.Release()
		case errors.Is(err, errQueueFull):
			q.full = append(q.full, name)
		default:
			q.t.Errorf("%s: %v", name, err)
		}
	}()
	synctest.Wait()
}

func (q *line) want(order, full string) {
	q.t.Helper()
	q.first.Release()
	synctest.Wait()
	if got := strings.Join(q.order, " "); got != order {
		q.t.Errorf("served %q, want %q", got, order)
	}
	if got := strings.Join(q.full, " "); got != full {
		q.t.Errorf("refused %q, want %q", got, full)
	}
}

func TestRoutesTakeTurns(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		q := newLine(t, 20)
		for i := range 5 {
			q.enter(Fill, "flood", fmt.Sprint("f", i))
		}
		q.enter(Fill, "quiet", "q0")
		q.enter(Fill, "other", "o0")
		q.enter(Fill, "quiet", "q1")
		q.enter(Write, "flood", "w")
		q.want("w f0 q0 o0 f1 q1 f2 f3 f4", "")
	})
}

// What a full queue gives up, and for whom.
func TestFullQueueIsSharedByRoutes(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		q := newLine(t, 4)
		for i := range 5 {
			q.enter(Fill, "flood", fmt.Sprint("f", i)) // f4 finds no room
		}
		q.enter(Fill, "quiet", "q0") // at the cost of f3
		q.enter(Fill, "quiet", "q1") // at the cost of f2
		q.enter(Fill, "quiet", "q2") // has as many as the flood now
		q.enter(Fill, "other", "o0") // of two equals, the one whose turn is later
		q.enter(Refresh, "other", "r0")
		q.want("f0 q0 o0 f1", "f4 f3 f2 q2 q1 r0")
	})
	bubbles.Test(t, func(t *testing.T) {
		q := newLine(t, 3)
		q.enter(Fill, "a", "fill")
		q.enter(Refresh, "a", "r0")
		q.enter(Refresh, "b", "r1")
		q.enter(Write, "c", "w0") // who has most for its share has to go first
		q.enter(Write, "c", "w1")
		q.enter(Write, "c", "w2") // that is writes themselves now
		q.enter(Write, "c", "w3")
		q.want("w0 fill w1", "r1 r0 w2 w3")
	})
}

// Who sends over and over waits behind itself, however many of its requests came before another client's.
func TestClientsTakeTurns(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		q := newLine(t, 20)
		for i := range 5 {
			q.enterAs("192.0.2.1", Write, "a", fmt.Sprint("f", i))
		}
		q.enterAs("2001:db8::1", Write, "a", "x0")
		q.enterAs("2001:db8::2", Write, "a", "x1") // of the same network
		q.enterAs("", Write, "a", "n0")
		q.enterAs("192.0.2.1", Write, "b", "b0") // routes go first
		q.enterAs("192.0.2.9", Write, "a", "y0")
		q.want("f0 b0 x0 n0 y0 f1 x1 f2 f3 f4", "")
	})
	bubbles.Test(t, func(t *testing.T) { // a full queue
		q := newLine(t, 4)
		for i := range 5 {
			q.enterAs("192.0.2.1", Write, "a", fmt.Sprint("f", i)) // f4 finds no room
		}
		q.enterAs("192.0.2.2", Write, "a", "x0") // at the cost of f3
		q.enterAs("192.0.2.2", Write, "a", "x1") // at the cost of f2
		q.enterAs("192.0.2.2", Write, "a", "x2") // has as many as the flood now
		q.enterAs("192.0.2.3", Write, "a", "y0") // of two equals, the one whose turn is later
		q.enterAs("192.0.2.3", Write, "b", "b0") // routes go first
		q.want("f0 b0 x0 y0", "f4 f3 f2 x2 x1 f1")
	})
}

// One client holds every place and fills the queue, and asks again as soon as it is refused. What another wants it has as soon as the
// next place is free.
func TestFloodOfOneClientDoesNotStarveAnother(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		const places, takes, lasts = 4, time.Second, 20 * time.Second
		l := newLimiter(Options{MaxInFlight: places, MaxQueue: 16, QueueTimeout: time.Second})
		start, one, another := time.Now(), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		var flood sync.WaitGroup
		for i := range 100 {
			flood.Go(func() {
				<-time.After(time.Duration(i) * 13 * time.Millisecond)
				for time.Since(start) < lasts {
					s, err := l.acquire(t.Context(), Place{Class: Write, Route: "a", Client: one})
					if err != nil {
						<-time.After(10 * time.Millisecond)
						continue
					}
					<-time.After(takes)
					s.Release()
				}
			})
		}
		<-time.After(2 * takes)
		for time.Since(start) < lasts-2*takes {
			began := time.Now()
			s, err := l.acquire(t.Context(), Place{Class: Write, Route: "a", Client: another})
			if err != nil {
				t.Errorf("after %v: %v", time.Since(start), err)
				break
			}
			if took := time.Since(began); took > takes {
				t.Errorf("waited %v behind the flood", took)
			}
			s.Release()
			<-time.After(70 * time.Millisecond)
		}
		flood.Wait()
	})
}

// Ten times as many requests of one route as of another, both far beyond what the upstream can do, for a minute: each gets
// half of it as long as it wants so much, and one that wants less than half waits for nobody's flood.
func TestFloodOnOneRouteDoesNotStarveAnother(t *testing.T) {
	for _, c := range []struct {
		every time.Duration // between requests of the quiet route; the flood's come every millisecond
		share float64       // of the quiet route's requests, how many are served at least
	}{
		{every: 10 * time.Millisecond, share: 0.49}, // 100/s of the 50/s that are its half
		{every: 40 * time.Millisecond, share: 1},    // 25/s
	} {
		bubbles.Test(t, func(t *testing.T) {
			l := newLimiter(Options{MaxInFlight: 2, MaxQueue: 50, QueueTimeout: time.Second}) // 100/s
			var mu sync.Mutex
			var wg sync.WaitGroup
			served, sent := map[string]int{}, map[string]int{}
			var waits []time.Duration
			send := func(route string, every time.Duration) {
				tick := time.NewTicker(every)
				defer tick.Stop()
				for range int(time.Minute / every) {
					<-tick.C
					wg.Go(func() {
						start := time.Now()
						s, err := l.acquire(t.Context(), Place{Class: Fill, Route: route})
						mu.Lock()
						sent[route]++
						if err == nil {
							served[route]++
						}
						if err == nil && route == "quiet" {
							waits = append(waits, time.Since(start))
						}
						mu.Unlock()
						if err == nil {
							<-time.After(20 * time.Millisecond)
							s.Release()
						}
					})
				}
			}
			wg.Go(func() { send("flood", time.Millisecond) })
			wg.Go(func() { send("quiet", c.every) })
			wg.Wait()
			if got := float64(served["quiet"]) / float64(sent["quiet"]); got < c.share {
				t.Errorf("every %v: %d of %d served, want %v of them", c.every, served["quiet"], sent["quiet"], c.share)
			}
			if total := served["flood"] + served["quiet"]; total < 5900 {
				t.Errorf("every %v: %d served, and the upstream can do 6000", c.every, total)
			}
			if c.share == 1 {
				if longest := slices.Max(waits); longest > 40*time.Millisecond {
					t.Errorf("a request of the quiet route waited %v behind the flood", longest)
				}
			}
		})
	}
}
