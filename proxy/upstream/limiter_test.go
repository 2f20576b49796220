package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/test/bubbles"
)

func testLimiter(places, queue int) *limiter {
	return newLimiter(Options{MaxInFlight: places, MaxQueue: queue, MaxStreams: 1, QueueTimeout: time.Second})
}

func mustAcquire(t *testing.T, l *limiter, c Class) *Slot {
	t.Helper()
	s, err := l.acquire(t.Context(), Place{Class: c})
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return s
}

func TestLimiterServesClassesInTurnAndInOrder(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		l := testLimiter(1, 10)
		first := mustAcquire(t, l, Write)
		var mu sync.Mutex
		var order []string
		for _, q := range []struct {
			name  string
			class Class
		}{{"refresh1", Refresh}, {"fill1", Fill}, {"fill2", Fill}, {"write1", Write}, {"refresh2", Refresh}, {"write2", Write}} {
			go func() {
				s := mustAcquire(t, l, q.class)
				mu.Lock()
				order = append(order, q.name)
				mu.Unlock()
				s.Release()
			}()
			synctest.Wait()
		}
		first.Release()
		synctest.Wait()
		want := []string{"write1", "fill1", "refresh1", "write2", "fill2", "refresh2"}
		if !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		if l.inFlight != 0 || l.queued != 0 || l.shed != 0 {
			t.Errorf("left over: in flight %d, queued %d, shed %d", l.inFlight, l.queued, l.shed)
		}
	})
}

func TestLimiterRefuses(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		l := testLimiter(1, 1)
		held := mustAcquire(t, l, Write)
		start := time.Now()
		queued := make(chan error)
		go func() { _, err := l.acquire(t.Context(), Place{Class: Write}); queued <- err }()
		synctest.Wait()
		if _, err := l.acquire(t.Context(), Place{Class: Write}); !errors.Is(err, errQueueFull) {
			t.Errorf("full queue, same class: %v", err)
		}
		if err := <-queued; !errors.Is(err, errQueueTimeout) || time.Since(start) != time.Second {
			t.Errorf("waited %v: %v", time.Since(start), err)
		}
		if l.shed != 2 || l.queued != 0 {
			t.Errorf("shed %d, queued %d", l.shed, l.queued)
		}
		held.Release()
		held.Release()
		if l.inFlight != 0 {
			t.Errorf("in flight %d after releasing one slot twice", l.inFlight)
		}
	})
}

func TestLimiterPushesOutNewestOfWhoHasMostForItsShare(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		l := testLimiter(1, 3)
		held := mustAcquire(t, l, Write)
		results := map[string]chan error{}
		enter := func(name string, c Class) {
			ch := make(chan error, 1)
			results[name] = ch
			go func() {
				s, err := l.acquire(t.Context(), Place{Class: c})
				if err == nil {
					s.Release()
				}
				ch <- err
			}()
			synctest.Wait()
		}
		enter("fill", Fill)
		enter("refresh old", Refresh)
		enter("refresh new", Refresh)
		enter("write", Write) // pushes out refresh new
		if err := <-results["refresh new"]; !errors.Is(err, errQueueFull) {
			t.Errorf("newest of the class with most for its share: %v", err)
		}
		enter("refresh late", Refresh) // nobody has more for its share
		if err := <-results["refresh late"]; !errors.Is(err, errQueueFull) {
			t.Errorf("late: %v", err)
		}
		held.Release()
		for _, name := range []string{"fill", "refresh old", "write"} {
			if err := <-results[name]; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestLimiterLetsGoOfThoseWhoLeave(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		l := testLimiter(1, 1)
		held := mustAcquire(t, l, Write)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { _, err := l.acquire(ctx, Place{Class: Write}); gone <- err }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("left: %v", err)
		}
		if l.queued != 0 || l.shed != 0 {
			t.Errorf("queued %d, shed %d: who leaves is not shed", l.queued, l.shed)
		}
		if _, err := l.acquire(ctx, Place{Class: Write}); !errors.Is(err, context.Canceled) {
			t.Errorf("came with an ended context: %v", err)
		}
		held.Release()
	})
}

func TestStreamsCountApart(t *testing.T) {
	l := testLimiter(1, 0)
	s := mustAcquire(t, l, Write)
	if err := s.stream(); err != nil {
		t.Fatal(err)
	}
	second := mustAcquire(t, l, Write) // the place is free again
	if err := second.stream(); !errors.Is(err, errStreamsFull) {
		t.Errorf("second stream: %v", err)
	}
	if l.inFlight != 1 || l.streams != 1 {
		t.Errorf("in flight %d, streams %d", l.inFlight, l.streams)
	}
	s.Release()
	second.Release()
	if l.inFlight != 0 || l.streams != 0 {
		t.Errorf("after release: in flight %d, streams %d", l.inFlight, l.streams)
	}
	if err := s.stream(); err != nil || l.streams != 0 {
		t.Errorf("a released slot took a stream: %v, %d", err, l.streams)
	}
}

func TestRaisedLimitAdmitsWaiters(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		l := testLimiter(2, 5)
		l.fleet = 2
		l.setInstances(2)
		held := mustAcquire(t, l, Write)
		admitted := make(chan *Slot)
		go func() { admitted <- mustAcquire(t, l, Fill) }()
		synctest.Wait()
		l.setInstances(1)
		s := <-admitted
		l.setInstances(2)
		s.Release()
		if _, _, err := l.enter(Place{}); err != nil || l.inFlight != 1 || l.queued != 1 {
			t.Errorf("lowered limit: in flight %d, queued %d, %v", l.inFlight, l.queued, err)
		}
		held.Release()
	})
}

// In-flight never above the limit, nobody lost, nothing left over, whatever the order of events.
func TestLimiterProperty(t *testing.T) {
	for seed := range uint64(30) {
		bubbles.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			places, queue := 1+rng.IntN(5), rng.IntN(8)
			l := testLimiter(places, queue)
			var now, served, refused, leftEarly atomic.Int64
			var wg sync.WaitGroup
			const requests = 200
			for range requests {
				place := Place{Class: Class(rng.IntN(int(classes))), Route: string(rune('a' + rng.IntN(4)))}
				arrive := time.Duration(rng.IntN(3000)) * time.Millisecond
				work, patience := time.Duration(rng.IntN(300))*time.Millisecond, time.Duration(1+rng.IntN(1500))*time.Millisecond
				wg.Go(func() {
					<-time.After(arrive)
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					s, err := l.acquire(ctx, place)
					switch {
					case err == nil:
						if n := now.Add(1); n > int64(places) {
							t.Errorf("seed %d: %d at the upstream, limit %d", seed, n, places)
						}
						<-time.After(work)
						now.Add(-1)
						s.Release()
						served.Add(1)
					case errors.Is(err, errQueueFull), errors.Is(err, errQueueTimeout):
						refused.Add(1)
					case errors.Is(err, context.DeadlineExceeded):
						leftEarly.Add(1)
					default:
						t.Errorf("seed %d: %v", seed, err)
					}
				})
			}
			wg.Wait()
			if n := served.Load() + refused.Load() + leftEarly.Load(); n != requests {
				t.Errorf("seed %d: %d of %d accounted for", seed, n, requests)
			}
			if l.inFlight != 0 || l.queued != 0 || l.shed != uint64(refused.Load()) {
				t.Errorf("seed %d: in flight %d, queued %d, shed %d, refused %d", seed, l.inFlight, l.queued, l.shed, refused.Load())
			}
			for c := range l.queues {
				if q := &l.queues[c]; !q.empty() || len(q.routes) > 0 {
					t.Errorf("seed %d: queue %d not empty", seed, c)
				}
			}
		})
	}
}
