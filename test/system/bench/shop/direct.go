package main

import (
	"context"
	"time"
)

const (
	// probeClients is enough to keep every core busy and few enough that requests do not queue for seconds.
	probeClients = 32

	// A rate counts as sustained when no request failed, this share of the rate was answered while requests were sent,
	// and the 99th percentile was at most sustainedP99.
	sustainedShare = 0.98
	sustainedP99   = 250 * time.Millisecond

	// stepDown is the part of an unsustained rate that is tried next.
	stepDown = 0.8
)

// measureDirect measures the shop without the proxy: as fast as it can, one request at a time, and then at the wanted
// rate or the highest sustained one.
func (sc *scene) measureDirect(ctx context.Context, r *report) error {
	o := startOrigin(sc.db, 10*time.Minute)
	defer o.Close()
	reads := newReader(sc.popularity, sc.options.seed)
	progress("looking for the rate that the shop can sustain")
	most, err := reads.flatOut(ctx, o.URL, probeClients, sc.options.probe)
	if err != nil {
		return err
	}
	alone, err := reads.flatOut(ctx, o.URL, 1, min(sc.options.probe, 3*time.Second))
	if err != nil {
		return err
	}
	r.capacity, r.alone = most.rate, alone.p50
	w, err := sc.measureSustained(ctx, reads, o.URL, min(sc.options.rate, max(1, int(most.rate))))
	if err != nil {
		return err
	}
	r.directRate, r.postgresVersion = w.rate, sc.statements.Version()
	r.rows = append(r.rows, row{name: "shop alone", work: w})
	return nil
}

// measureSustained measures at a rate, and then at lower rates until the shop sustains one.
func (sc *scene) measureSustained(ctx context.Context, reads *reader, url string, rate int) (work, error) {
	for {
		progress("measuring the shop alone at %d requests/s for %v", rate, sc.options.duration)
		w, err := sc.watch(ctx, 0, func(ctx context.Context) (traffic, error) {
			return reads.steady(ctx, url, rate, sc.options.duration)
		})
		w.rate = rate
		if err != nil || rate == 1 || sustained(w.traffic, rate) {
			return w, err
		}
		progress("these are too many: %.0f/s answered, %d failed, p99 %v", w.traffic.rate, w.traffic.failed, w.traffic.p99.Round(time.Millisecond))
		rate = max(1, int(float64(rate)*stepDown))
	}
}

func sustained(t traffic, rate int) bool {
	return t.failed == 0 && t.rate >= sustainedShare*float64(rate) && t.p99 <= sustainedP99
}
