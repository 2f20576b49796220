package upstream

import (
	"sync/atomic"
	"time"
)

// account counts one upstream's part of a limiter, which several upstreams may share. A nil account counts nothing.
// An account outlives the generations of its upstream.
type account struct {
	waited    func(time.Duration) // nil: nothing
	now       [counts]atomic.Int64
	peak      atomic.Int64  // of inFlight, since the start
	wouldShed atomic.Uint64 // see shadowEnter
	orphans   atomic.Int64  // see Upstream.Adopt
}

// tally names a number that an account counts.
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

// shadowWaiter is a request that no limit holds and that found no place.
type shadowWaiter struct {
	account *account
	since   time.Time
}

// shadowEnter notes a request that no limit holds. When the request finds no place, it gets an entry in over, a shadow
// queue as long and as patient as the real queue. So WouldShed tells what the limit would do. Each place that is
// given back counts for the first entry, which the limit would have given that place. A request that finds no room in
// over, or whose entry is not served in time, counts as refused. The caller holds mu.
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

// shadowLeave notes a place that was given back. The caller holds mu.
func (l *limiter) shadowLeave() {
	if l.shadowExpire(); len(l.shadow) > 0 {
		l.shadow = l.shadow[1:]
	}
}

// shadowExpire removes the entries that have waited too long, and counts them as refused. The caller holds mu.
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
