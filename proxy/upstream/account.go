package upstream

import (
	"sync/atomic"
	"time"
)

// account counts what one upstream holds of a limiter, which several upstreams may share. A successor of the upstream (Succeed) takes it over. A nil
// account counts nothing.
type account struct {
	waited    func(time.Duration) // nil: nobody wants to know
	now       [counts]atomic.Int64
	peak      atomic.Int64  // of inFlight, since the start
	wouldShed atomic.Uint64 // see shadowEnter
	orphans   atomic.Int64  // see Upstream.Adopt
}

// tally names a counter of an account.
type tally uint8

const (
	inFlight tally = iota
	inQueue
	inStreams

	counts
)

func (a *account) count(what tally, by int64) {
	if a == nil {
		return
	}
	n := a.now[what].Add(by)
	if what != inFlight {
		return
	}
	for peak := a.peak.Load(); n > peak && !a.peak.CompareAndSwap(peak, n); {
		peak = a.peak.Load()
	}
}

func (a *account) wait(d time.Duration) {
	if a != nil && a.waited != nil {
		a.waited(d)
	}
}

// shadowWaiter is a request that no limit holds and that would have had to wait for a place.
type shadowWaiter struct {
	account *account
	since   time.Time
}

// shadowEnter notes a request that no limit holds. If there is no free place, the request is put into a shadow queue with the length and the timeout of
// the real one, to count how many requests the limit would have refused if it had held them: each released place goes to the first in the shadow
// queue; a request that finds the queue full, or waits for too long, counts as refused. The caller holds mu.
func (l *limiter) shadowEnter(a *account) {
	if l.inFlight < l.max {
		return
	}
	if l.shadowExpire(); len(l.shadow) >= l.maxQueue {
		a.countWouldShed()
		return
	}
	l.shadow = append(l.shadow, shadowWaiter{a, time.Now()})
}

// shadowLeave gives a released place to the first request in the shadow queue. The caller holds mu.
func (l *limiter) shadowLeave() {
	if l.shadowExpire(); len(l.shadow) > 0 {
		l.shadow = l.shadow[1:]
	}
}

// shadowExpire counts, and removes, the requests that have waited in the shadow queue for too long. The caller holds mu.
func (l *limiter) shadowExpire() {
	for len(l.shadow) > 0 && time.Since(l.shadow[0].since) >= l.queueTimeout {
		l.shadow[0].account.countWouldShed()
		l.shadow = l.shadow[1:]
	}
}

func (a *account) countWouldShed() {
	if a != nil {
		a.wouldShed.Add(1)
	}
}
