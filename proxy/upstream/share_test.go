package upstream

import (
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"cacheproxy/test/bubbles"
)

// flood keeps so many requests of a class at the limiter until the test is over, each of which takes that long.
func flood(t *testing.T, l *limiter, over *sync.WaitGroup, p Place, clients int, takes time.Duration) {
	for range clients {
		over.Go(func() {
			for t.Context().Err() == nil && time.Since(began) < floodLasts {
				s, err := l.acquire(t.Context(), p)
				if err != nil {
					<-time.After(50 * time.Millisecond) // and asks again
					continue
				}
				<-time.After(takes)
				s.Release()
			}
		})
	}
}

var began time.Time // of the bubble

const floodLasts = 15 * time.Second

// Whatever floods an upstream, and however long it takes there, reads that look for a copy have a quarter of the places while they want
// them, writes are served beside them, and what goes past the cache for an unlisted field gets the least. So nothing that anybody can
// send keeps the cache from being filled.
func TestFloodsStarveNoClass(t *testing.T) {
	for _, c := range []struct {
		name   string
		floods []Place
		takes  time.Duration
		victim Class
		least  int // places of the victim on average, in a hundredth
	}{
		{"writes against fills", []Place{{Class: Write}}, 100 * time.Millisecond, Fill, 200},
		{"slow writes against fills", []Place{{Class: Write}}, 3 * time.Second, Fill, 180},
		{"fills against writes", []Place{{Class: Fill, Route: "other"}}, 100 * time.Millisecond, Write, 200},
		{"unlisted against fills", []Place{{Class: Unlisted}}, 100 * time.Millisecond, Fill, 550},
		{"unlisted against writes", []Place{{Class: Unlisted}}, 100 * time.Millisecond, Write, 550},
		{"slow unlisted against fills", []Place{{Class: Unlisted}}, 3 * time.Second, Fill, 200},
		{"all against fills", []Place{{Class: Write}, {Class: Unlisted}, {Class: Refresh}}, 100 * time.Millisecond, Fill, 200},
		{"all against unlisted", []Place{{Class: Write}, {Class: Fill}, {Class: Refresh}}, 100 * time.Millisecond, Unlisted, 50},
		{"all against renewals", []Place{{Class: Write}, {Class: Fill}, {Class: Unlisted}}, 100 * time.Millisecond, Refresh, 50},
		{"what no limit holds against fills", []Place{{Passing: true}}, 100 * time.Millisecond, Fill, 190},
		{"what no limit holds against writes", []Place{{Passing: true}}, 3 * time.Second, Write, 190},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubbles.Test(t, func(t *testing.T) {
				const places, takes = 8, 100 * time.Millisecond
				began = time.Now()
				l := newLimiter(Options{MaxInFlight: places, MaxQueue: 64, QueueTimeout: 5 * time.Second, MaxStreams: 1})
				var over sync.WaitGroup
				for _, p := range c.floods {
					flood(t, l, &over, p, 40, c.takes)
				}
				<-time.After(time.Second)
				served := 0
				var mu sync.Mutex
				for range 20 {
					over.Go(func() {
						for time.Since(began) < floodLasts {
							s, err := l.acquire(t.Context(), Place{Class: c.victim, Route: "victim"})
							if err != nil {
								<-time.After(10 * time.Millisecond)
								continue
							}
							<-time.After(takes)
							s.Release()
							mu.Lock()
							served++
							mu.Unlock()
						}
					})
				}
				over.Wait()
				if had := served * 100 * int(takes) / int(floodLasts-time.Second); had < c.least {
					t.Errorf("the victim had %d hundredths of a place on average, want %d", had, c.least)
				}
				if l.inFlight != 0 || l.queued != 0 || l.passing != 0 || l.of != [classes]int{} || len(l.shadow) != 0 {
					t.Errorf("left over: %+v", l)
				}
			})
		})
	}
}

// A single place is shared by turns: none of those that want it waits for ever.
func TestOnePlaceIsShared(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		q := newLine(t, 40)
		for range 4 {
			q.enter(Write, "w", "w")
			q.enter(Fill, "f", "f")
			q.enter(Unlisted, "u", "u")
			q.enter(Refresh, "r", "r")
		}
		q.want("w f u r w f w f w f u r u r u r", "")
	})
}

// What no limit holds never waits and is never refused, whatever holds the places, but counts; what would have become of it is known.
func TestPassingIsNotHeld(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		u := New(Options{URL: &url.URL{Scheme: "http", Host: "a.test"}, MaxInFlight: 2, MaxQueue: 3, QueueTimeout: time.Second})
		var held []*Slot
		take := func(p Place) error {
			s, err := u.Acquire(t.Context(), p)
			if err == nil {
				held = append(held, s)
			}
			return err
		}
		want := func(when string, inFlight int, would uint64) {
			t.Helper()
			if u.InFlight() != inFlight || u.WouldShed() != would {
				t.Errorf("%s: %d in flight, %d would have been refused, want %d and %d", when, u.InFlight(), u.WouldShed(), inFlight, would)
			}
		}
		for range 7 { // two have places, three would wait, two would be refused
			if err := take(Place{Passing: true}); err != nil {
				t.Fatal(err)
			}
		}
		want("at once", 7, 2)
		held[0].Release() // the first of those that wait would have its place
		want("one has left", 6, 2)
		<-time.After(time.Second)
		want("a second later", 6, 4)
		if err := take(Place{Class: Fill}); err != nil {
			t.Errorf("a fill beside them: %v", err) // it has a part of its own
		}
		if err := take(Place{Class: Fill}); !errors.Is(err, errQueueTimeout) {
			t.Errorf("another: %v", err)
		}
		for _, s := range held {
			s.Release()
		}
		want("in the end", 0, 4)
		if u.Peak() != 7 {
			t.Errorf("%d at most, want 7", u.Peak())
		}
	})
}

// Streams that no limit holds are as many as they like, and take none from those that it holds: whoever opens some on a URL without a
// route does not end those of routes.
func TestPassingStreamsAreNotHeld(t *testing.T) {
	l := newLimiter(Options{MaxInFlight: 4, MaxStreams: 1})
	for range 3 {
		s, err := l.acquire(t.Context(), Place{Passing: true})
		if err != nil || s.stream() != nil {
			t.Fatal("a stream was refused")
		}
		defer s.Release()
	}
	s := mustAcquire(t, l, Write)
	defer s.Release()
	if err := s.stream(); err != nil || l.streams != 1 {
		t.Errorf("%d streams, of which one is held: %v", l.streams, err)
	}
	second := mustAcquire(t, l, Write)
	defer second.Release()
	if err := second.stream(); !errors.Is(err, errStreamsFull) {
		t.Errorf("a second that is held: %v", err)
	}
}

// Without a limit nothing waits.
func TestWithoutLimit(t *testing.T) {
	o := Options{URL: &url.URL{Scheme: "http", Host: "a.test"}}
	u := New(o)
	for c := range classes {
		for range 2000 {
			s, err := u.Acquire(t.Context(), Place{Class: c})
			if err != nil || s.stream() != nil {
				t.Fatalf("class %d: %v", c, err)
			}
			defer s.Release()
		}
	}
	if u.Limited() || u.Streams() != 2000*int(classes) {
		t.Errorf("%d streams", u.Streams())
	}
}

// Upstreams that share a limit have no more requests at work together than it allows, and each tells its own.
func TestSharedLimit(t *testing.T) {
	of := func(host string, places int) Options {
		return Options{URL: &url.URL{Scheme: "http", Host: host}, MaxInFlight: places, MaxQueue: -1, Limit: "db"}
	}
	a, b := New(of("a.test", 3)), New(of("b.test", 3))
	b.Share(a)
	acquire := func(u *Upstream) *Slot {
		s, err := u.Acquire(t.Context(), Place{})
		if err != nil {
			return nil
		}
		return s
	}
	first, second, third := acquire(a), acquire(b), acquire(b)
	if first == nil || second == nil || third == nil || acquire(a) != nil || acquire(b) != nil {
		t.Error("the limit is not the one of both")
	}
	if a.InFlight() != 1 || b.InFlight() != 2 {
		t.Errorf("%d and %d in flight, want 1 and 2", a.InFlight(), b.InFlight())
	}
	next := Succeed(a, of("a.test", 4))
	if s := acquire(b); s == nil {
		t.Error("the limit that one of them raises is not that of both")
	} else {
		s.Release()
	}
	if next.InFlight() != 1 {
		t.Errorf("the successor has %d in flight", next.InFlight())
	}
	own := Succeed(next, Options{URL: &url.URL{Scheme: "http", Host: "a.test"}, MaxInFlight: 1, MaxQueue: -1})
	s := acquire(own)
	if s == nil || own.InFlight() != 2 {
		t.Errorf("with a limit of its own: %d in flight", own.InFlight())
	}
	for _, s := range []*Slot{first, second, third, s} {
		s.Release()
	}
	if a.InFlight()+b.InFlight()+own.InFlight()+a.limiter.inFlight+own.limiter.inFlight != 0 {
		t.Error("places are left over")
	}
}
