package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// settle is how long the load runs before the measurement begins, to open connections.
const settle = 3 * time.Second

// recovered is the time after the last lease is held again until the load counts as normal.
const recovered = 5 * time.Second

// result is everything that was measured of one failure.
type result struct {
	options  options
	failure  failure
	reads    []read
	purges   []purge
	arrivals []arrival
	begun    time.Time // start of the measurement
	failed   time.Time // when Valkey failed
	lapsed   time.Time // when the last instance noticed that its lease was lost
	first    time.Time // when the first instance noticed
	back     time.Time // when Valkey was back
	held     time.Time // when the last instance held its lease again
	ended    time.Time
}

func measure(ctx context.Context, o options, f failure, binary, dir string) (_ *result, err error) {
	fl, err := startFleet(ctx, o, f, binary, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if stopped := fl.stop(); err == nil {
			err = stopped
		}
	}()
	if err := fl.awaitLeases(ctx); err != nil {
		return nil, err
	}
	if err := fl.fill(ctx, o); err != nil {
		return nil, err
	}
	fl.origin.loaded.Store(true)
	r := &result{options: o, failure: f}
	loading, end := context.WithCancel(ctx)
	defer end()
	var running sync.WaitGroup
	var turns []turn
	running.Go(func() { r.reads = fl.send(loading, o) })
	running.Go(func() { r.purges = fl.purge(loading, o) })
	running.Go(func() { turns = fl.leases(loading) })
	err = r.schedule(ctx, fl)
	end()
	running.Wait()
	if err != nil {
		return nil, err
	}
	r.arrivals = fl.origin.arrivals()
	return r, r.place(turns)
}

// schedule makes Valkey fail and come back.
func (r *result) schedule(ctx context.Context, fl *fleet) error {
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	r.begun = time.Now()
	if err := sleep(ctx, r.options.before); err != nil {
		return err
	}
	r.failed = time.Now()
	if err := r.failure.begin(fl.valkey); err != nil {
		return err
	}
	if err := sleep(ctx, r.options.down); err != nil {
		return err
	}
	r.back = time.Now()
	if err := r.failure.end(ctx, fl.valkey); err != nil {
		return err
	}
	if err := sleep(ctx, r.options.after); err != nil {
		return err
	}
	r.ended = time.Now()
	return nil
}

// place determines when leases were lost and held again.
func (r *result) place(turns []turn) error {
	holds := map[int]bool{}
	for _, t := range turns {
		switch {
		case t.at.Before(r.failed):
			return fmt.Errorf("instance %d lost its lease while nothing was wrong", t.instance+1)
		case !t.held:
			if r.first.IsZero() {
				r.first = t.at
			}
			r.lapsed = t.at
			holds[t.instance] = false
		default:
			r.held = t.at
			holds[t.instance] = true
		}
	}
	if len(holds) < r.options.instances {
		return fmt.Errorf("%d of %d instances lost their leases", len(holds), r.options.instances)
	}
	for i, h := range holds {
		if !h {
			return fmt.Errorf("instance %d has no lease %v after Valkey is back", i+1, r.options.after)
		}
	}
	return nil
}

// phase is a part of the measured time.
type phase struct {
	name     string
	from, to time.Time
}

func (p phase) holds(t time.Time) bool { return !t.Before(p.from) && t.Before(p.to) }

func (p phase) seconds() float64 { return p.to.Sub(p.from).Seconds() }

// phases are all phases, in order.
func (r *result) phases() []phase {
	calm := r.held.Add(recovered)
	return []phase{
		{"healthy", r.begun, r.failed},
		{"down, leases hold", r.failed, r.first},
		{"down, no leases", r.first, r.back},
		{"back, no leases", r.back, r.held},
		{"leases held, first 5 s", r.held, calm},
		{"after", calm, r.ended},
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("measure: %w", ctx.Err())
	}
}

// tally is the result of one route in one phase.
type tally struct {
	requests, hits, ok, shed, bare int
	words                          map[string]int // answers other than 200
	served, refused                []time.Duration
}

func (r *result) tally(p phase, route int) tally {
	t := tally{words: map[string]int{}}
	for _, x := range r.reads {
		if x.route != route || !p.holds(x.sent) {
			continue
		}
		t.requests++
		switch x.code {
		case 200:
			t.ok++
			t.served = append(t.served, x.took)
			if x.word == "hit" {
				t.hits++
			}
			continue
		case 503:
			t.shed++
			t.refused = append(t.refused, x.took)
			if x.bare {
				t.bare++
			}
			t.words[x.word]++
		default:
			t.words[fmt.Sprintf("%d %s", x.code, x.word)]++
		}
	}
	slices.Sort(t.served)
	slices.Sort(t.refused)
	return t
}

// load is the load on the origin in one phase.
type load struct {
	requests, most, mostOf, second int // second: most requests in one second of the phase
	sum                            int // sum over requests of the requests at work on arrival, each including itself
}

// mean is the average number of requests at work on the arrival of a request, which is included.
func (l load) mean() float64 { return float64(l.sum) / float64(max(l.requests, 1)) }

func (r *result) load(p phase) load {
	var l load
	bins := map[int]int{}
	for _, a := range r.arrivals {
		if !p.holds(a.at) {
			continue
		}
		l.requests++
		l.sum += a.most
		l.most, l.mostOf = max(l.most, a.most), max(l.mostOf, a.of)
		bin := int(a.at.Sub(p.from) / time.Second)
		bins[bin]++
		l.second = max(l.second, bins[bin])
	}
	return l
}
