package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cacheproxy/test/system/bench"
)

// fullShare is the least average use of the origin's places while requests are shed for lack of a place.
const fullShare = 0.9

// afterglow is how long requests may still be shed after the leases are held again: requests that waited in a full
// queue.
const afterglow = 2 * time.Second

// slow bounds the 99th percentile of reads on a machine that can carry the load.
const slow = time.Second

// overloaded reports a machine that did not carry the load even before the failure. The measurement then says nothing.
func (r *result) overloaded() error {
	healthy := r.phases()[0]
	for i, route := range routes {
		t := r.tally(healthy, i)
		rate, wanted := float64(t.requests)/healthy.seconds(), float64(r.options.rate)/float64(len(routes))
		if p99 := bench.Percentile(t.served, 99); p99 > slow || rate < 0.9*wanted {
			return fmt.Errorf("this machine is too busy: of %.0f reads/s on route %s it did %.0f, with %v at the 99th percentile, before anything had failed; lower --rate",
				wanted, route, rate, p99.Round(time.Millisecond))
		}
	}
	return nil
}

// broken lists the broken promises.
func (r *result) broken() []string {
	var found []string
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	all := phase{from: r.begun, to: r.ended}
	if t := r.tally(all, 0); t.ok < t.requests {
		report("%d reads on the route with serve_stale did not get 200: %s", t.requests-t.ok, bench.Counts(t.words))
	}
	t := r.tally(all, 1)
	for _, word := range slices.Sorted(maps.Keys(t.words)) {
		if !strings.HasPrefix(word, "queue-full") && !strings.HasPrefix(word, "queue-timeout") {
			report("%d reads on the route with origin ended with %s", t.words[word], word)
		}
	}
	if t.bare > 0 {
		report("%d of what was shed came without Retry-After", t.bare)
	}
	outage := phase{from: r.first, to: r.held.Add(afterglow)}
	if n := t.shed - r.tally(outage, 1).shed; n > 0 {
		report("%d reads were shed while leases were held", n)
	}
	down := phase{from: r.lapsed.Add(time.Second), to: r.back}
	if l := r.load(down); r.tally(down, 1).shed > 0 && l.mean() < fullShare*float64(r.options.fleet) {
		report("reads were shed while a request found the origin with %.1f at once, where %d may be", l.mean(), r.options.fleet)
	}
	l := r.load(all)
	if l.most > r.options.fleet {
		report("the origin had %d requests at once, and fleet_max_in_flight is %d", l.most, r.options.fleet)
	}
	if l.mostOf > r.options.places {
		report("the origin had %d requests of one instance at once, and max_in_flight is %d", l.mostOf, r.options.places)
	}
	found = append(found, r.spike()...)
	for _, p := range r.purges {
		if p.code != 200 && p.code != 503 {
			report("a purge ended with status %d", p.code)
		}
	}
	return found
}

// spike reports whether the origin had more load after leases were held again and waiting requests were done than
// before the failure.
func (r *result) spike() []string {
	before := r.load(phase{from: r.begun, to: r.failed})
	after := r.load(phase{from: r.held.Add(afterglow), to: r.ended})
	// Each instance has to fetch again what was purged and requested meanwhile.
	if allowed := 2*before.second + 10; after.second > allowed {
		return []string{fmt.Sprintf("the origin had up to %d requests/s after leases were held again, and up to %d before the failure", after.second, before.second)}
	}
	return nil
}
