package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// settle is how long a load runs before the measurement, to open connections and page in code.
const settle = 2 * time.Second

// scenario is one way to run the proxy.
type scenario struct {
	name  string
	ttl   time.Duration
	edits float64 // per second
}

func (sc *scene) measureProxied(ctx context.Context, r *report) error {
	for _, s := range []scenario{
		{name: "proxy, TTL 10m", ttl: 10 * time.Minute},
		{name: "proxy, TTL 24h and purges", ttl: 24 * time.Hour, edits: sc.options.edits},
	} {
		measured, err := sc.measureScenario(ctx, s)
		if measured.proxied {
			r.rows = append(r.rows, measured)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// measureScenario starts a shop and a proxy of its own, so that nothing is left of the scenario before. An error
// together with a row comes from stopping them.
func (sc *scene) measureScenario(ctx context.Context, s scenario) (_ row, err error) {
	o := startOrigin(sc.db, s.ttl)
	defer o.Close()
	p, err := startProxy(ctx, sc.binary, sc.dir, o.URL, s.ttl)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()

	w := workload{popularity: sc.popularity, reads: float64(sc.options.rate), edits: s.edits, ttl: s.ttl.Seconds()}
	progress("%s: warming up", s.name)
	copies, err := warmUp(ctx, p, o, w, sc.options.seed)
	if err != nil {
		return row{}, err
	}
	reads := newReader(sc.popularity, sc.options.seed+1)
	if _, err := reads.steady(ctx, p.URL, sc.options.rate, settle); err != nil {
		return row{}, err
	}
	progress("%s: measuring at %d requests/s for %v", s.name, sc.options.rate, sc.options.duration)
	before, err := scrape(ctx, p.Cacheproxy, routeName)
	if err != nil {
		return row{}, err
	}
	measured := row{name: s.name, scenario: s, copies: copies, allowed: w.hitRatio(), proxied: true}
	measured.work, err = sc.watch(ctx, p.Process.PID(), func(ctx context.Context) (traffic, error) {
		if s.edits == 0 {
			return reads.steady(ctx, p.URL, sc.options.rate, sc.options.duration)
		}
		e := editor{proxy: p, origin: o.URL, popularity: sc.popularity, perSecond: s.edits, seed: sc.options.seed}
		t, edited, err := readWhileEditing(ctx, reads, e, sc.options.rate, sc.options.duration)
		measured.editing = edited
		return t, err
	})
	if err != nil {
		return row{}, err
	}
	after, err := scrape(ctx, p.Cacheproxy, routeName)
	if err != nil {
		return row{}, err
	}
	measured.outcomes = after.since(before)
	return measured, nil
}

// readWhileEditing edits for as long as the load lasts.
func readWhileEditing(ctx context.Context, reads *reader, e editor, rate int, d time.Duration) (traffic, editing, error) {
	type result struct {
		editing editing
		err     error
	}
	edit, stop := context.WithCancel(ctx)
	defer stop()
	edited := make(chan result, 1)
	go func() {
		done, err := e.run(edit)
		edited <- result{done, err}
	}()
	t, err := reads.steady(ctx, e.proxy.URL, rate, d)
	stop()
	done := <-edited
	return t, done.editing, errors.Join(err, done.err)
}
