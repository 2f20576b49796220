package instance

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// loadWindow is how long load is looked at, and loadEvery how often.
	loadWindow, loadEvery = 5 * time.Minute, 10 * time.Second
	// unprotectedAbove is how many times as much as an upstream gets its routes are read, from which on it could not bear the loss of the
	// copies; and worthwhile is how many reads a second there have to be for that to mean anything.
	unprotectedAbove, worthwhile = 3, 1
)

// load is what is read on the cached routes of one upstream, and what of all requests reaches it, lately. The loop that looks has it to
// itself, but for unprotected.
type load struct {
	samples     []loadSample // the oldest first; none is older than loadWindow
	unprotected atomic.Bool  // the copies keep from the upstream what it cannot bear, and no limit would
}

type loadSample struct {
	at           time.Time
	reads, asked uint64 // since the start
}

// look takes a sample, and reports whether the upstream has become unprotected by it, with what there was a second.
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

// watchLoad looks at the load of the upstreams until ctx ends, and tells of those that a lost cache would bring down.
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

// load is that of the upstream of that name. The caller holds u.mu.
func (u *upstreams) load(name string) *load {
	if u.loads == nil {
		u.loads = map[string]*load{}
	}
	if u.loads[name] == nil {
		u.loads[name] = &load{}
	}
	return u.loads[name]
}

// peaks tells, of the upstreams without a limit, how much they have had at most.
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
