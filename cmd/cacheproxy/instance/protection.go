package instance

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// loadWindow is the period over which load is measured, and loadEvery the time between samples.
	loadWindow, loadEvery = 5 * time.Minute, 10 * time.Second
	// unprotectedAbove is the ratio of reads to upstream requests above which an upstream could not bear the loss of
	// the copies. worthwhile is the least number of reads a second for which the ratio has a meaning.
	unprotectedAbove, worthwhile = 3, 1
)

// load is the recent number of reads on the cached routes of one upstream, and the number of all requests that reached
// the upstream. Only the goroutine of watchLoad uses a load; unprotected is also read by metrics.
type load struct {
	samples     []loadSample // oldest first; none older than loadWindow
	unprotected atomic.Bool  // copies keep an unbearable load from the upstream, and no limit would
}

type loadSample struct {
	at           time.Time
	reads, asked uint64 // since the start
}

// look takes a sample. became: the upstream has just become unprotected. reads and asked are rates per second.
func (l *load) look(s loadSample, limited bool) (became bool, reads, asked float64) {
	l.samples = append(l.samples, s)
	for s.at.Sub(l.samples[0].at) > loadWindow {
		l.samples = l.samples[1:]
	}
	first := l.samples[0]
	if took := s.at.Sub(first.at).Seconds(); took > 0 {
		reads, asked = float64(s.reads-first.reads)/took, float64(s.asked-first.asked)/took
	}
	is := !limited && reads >= worthwhile && reads > unprotectedAbove*asked
	was := l.unprotected.Swap(is)
	return is && !was, reads, asked
}

// watchLoad measures the load of the upstreams until ctx ends, and warns of upstreams that the loss of the copies would
// bring down.
func (u *upstreams) watchLoad(ctx context.Context) error {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	for {
		u.look(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (u *upstreams) look(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, up := range u.now {
		reads, asked := u.metrics.Upstream(up.Name()).Load()
		if became, reads, asked := u.load(up.Name()).look(loadSample{now, reads, asked}, up.Limited()); became {
			u.log.Warn("upstream is unprotected: it gets a small part of what is read, and no max_in_flight holds the rest when copies are lost",
				"upstream", up.Name(), "reads_per_second", int(reads), "reach_it", int(asked), "in_flight_peak", up.Peak())
		}
	}
	u.restOfFailures(now)
}

// load is the load of the upstream with that name. The caller holds u.mu.
func (u *upstreams) load(name string) *load {
	if u.loads == nil {
		u.loads = map[string]*load{}
	}
	if u.loads[name] == nil {
		u.loads[name] = &load{}
	}
	return u.loads[name]
}

// peaks reports the peak of concurrent requests of each upstream without a limit.
func (u *upstreams) peaks() (all []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, up := range u.now {
		if !up.Limited() {
			all = append(all, fmt.Sprintf("upstream %s had %d requests at once at most since the start, and no max_in_flight is set", up.Name(), up.Peak()))
		}
	}
	return all
}
