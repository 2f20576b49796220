package upstream

import (
	"sync/atomic"
	"time"
)

// account is what one upstream has of a limiter, which it may share with others. A nil account counts nothing. It outlives the
// generations of its upstream.
type account struct {
	waited    func(time.Duration) // nil: nobody wants to know
	now       [counts]atomic.Int64
	peak      atomic.Int64  // of inFlight, since the start
	wouldShed atomic.Uint64 // see overtake
	orphans   atomic.Int64  // see Upstream.Adopt
}

// tally is what an account counts.
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

// overdue is a request that no limit holds, and that found no place.
type overdue struct {
	account *account
	since   time.Time
}

// overtake takes note of a request that no limit holds. Where it finds no place, it stands in a queue that is as long and as patient as
// the real one, so that somebody can know what the limit would do: each place that is given back is the one that the first of them would
// have got. Who finds no room there, or is not served in time, would have been refused. The caller holds mu.
func (l *limiter) overtake(a *account) {
	if l.inFlight < l.max {
		return
	}
	if l.expire(); len(l.over) >= l.maxQueue {
		a.refuse()
		return
	}
	l.over = append(l.over, overdue{a, time.Now()})
}

// overtaken takes note of a place that was given back. The caller holds mu.
func (l *limiter) overtaken() {
	if l.expire(); len(l.over) > 0 {
		l.over = l.over[1:]
	}
}

// expire ends the patience of those that would wait for too long. The caller holds mu.
func (l *limiter) expire() {
	for len(l.over) > 0 && time.Since(l.over[0].since) >= l.queueTimeout {
		l.over[0].account.refuse()
		l.over = l.over[1:]
	}
}

func (a *account) refuse() {
	if a != nil {
		a.wouldShed.Add(1)
	}
}
