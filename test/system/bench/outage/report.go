package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"cacheproxy/test/system/bench"
)

func printSetting(w io.Writer, o options) error {
	_, err := fmt.Fprintf(w, `%d reads/s open-loop, half on a route with on_lease_loss: serve_stale (60s), half on one with origin; %d keys each, Zipf
with exponent %v, all copies there before; %v purges/s by key. %d instances with leases of %v; the origin works on a request for
%v, fleet_max_in_flight %d (%.0f requests/s), max_in_flight %d. %d cores, %s; load generator, origin, proxies and
Valkey share them.
`, o.rate, o.keys, o.exponent, o.purges, o.instances, o.lease, o.work, o.fleet, o.capacity(), o.places, runtime.NumCPU(), runtime.Version())
	if err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	return nil
}

func (r *result) print(w io.Writer, broken []string) error {
	var out bench.Report
	fmt.Fprintf(&out, "\n%s\n\n", r.failure.name)
	phases := r.phases()
	t := bench.NewTable(&out, phases)
	line := t.Line
	line("", func(p phase) string { return p.name })
	line("lasted", func(p phase) string { return fmt.Sprintf("%.1f s", p.seconds()) })
	line("reads/s sent", func(p phase) string { return r.perSecond(p, 0, 1) })
	for i, route := range routes {
		tallies := map[phase]tally{}
		for _, p := range phases {
			tallies[p] = r.tally(p, i)
		}
		of := func(name string, cell func(phase, tally) string) {
			line(name, func(p phase) string { return cell(p, tallies[p]) })
		}
		of(route+": 200/s", func(p phase, t tally) string { return fmt.Sprintf("%.0f", float64(t.ok)/p.seconds()) })
		of("503/s", func(p phase, t tally) string { return fmt.Sprintf("%.0f", float64(t.shed)/p.seconds()) })
		of("any other end", func(_ phase, t tally) string { return fmt.Sprint(t.requests - t.ok - t.shed) })
		of("hit ratio", func(_ phase, t tally) string {
			return fmt.Sprintf("%.1f %%", 100*float64(t.hits)/float64(max(t.requests, 1)))
		})
		of("200: p50", func(_ phase, t tally) string { return bench.Milliseconds(bench.Percentile(t.served, 50)) })
		of("p99", func(_ phase, t tally) string { return bench.Milliseconds(bench.Percentile(t.served, 99)) })
		of("503: p99", func(_ phase, t tally) string { return bench.Milliseconds(bench.Percentile(t.refused, 99)) })
	}
	line("origin: requests/s", func(p phase) string { return fmt.Sprintf("%.0f", float64(r.load(p).requests)/p.seconds()) })
	line("most in one second", func(p phase) string { return fmt.Sprint(r.load(p).second) })
	line("most at once", func(p phase) string { return fmt.Sprint(r.load(p).most) })
	line("on average", func(p phase) string { return fmt.Sprintf("%.1f", r.load(p).mean()) })
	line("most of one instance", func(p phase) string { return fmt.Sprint(r.load(p).mostOf) })
	line("purges: 200", func(p phase) string { return fmt.Sprint(len(r.purged(p, 200))) })
	line("503", func(p phase) string { return fmt.Sprint(len(r.purged(p, 503))) })
	line("200: p50", func(p phase) string { return bench.Milliseconds(bench.Percentile(r.purged(p, 200), 50)) })
	line("max", func(p phase) string { return bench.Milliseconds(bench.Percentile(r.purged(p, 200), 100)) })
	if err := t.Close(); err != nil {
		return err
	}
	r.printNotes(&out, broken)
	return out.Print(w)
}

func (r *result) printNotes(out *bench.Report, broken []string) {
	fmt.Fprintf(out, "\nLeases lapsed %.1f s to %.1f s after Valkey failed, and were held again %.1f s after it was back.\n",
		r.first.Sub(r.failed).Seconds(), r.lapsed.Sub(r.failed).Seconds(), r.held.Sub(r.back).Seconds())
	for i, route := range routes {
		whole := r.tally(phase{from: r.begun, to: r.ended}, i)
		fmt.Fprintf(out, "Route %s, not answered with 200: %s.\n", route, bench.Counts(whole.words))
	}
	if len(broken) == 0 {
		fmt.Fprintf(out, "Every promise was kept.\n")
	}
	for _, b := range broken {
		fmt.Fprintf(out, "BROKEN: %s\n", b)
	}
	fmt.Fprintf(out, "Command: %s\n", r.options.flags.Command())
}

func (r *result) perSecond(p phase, routes ...int) string {
	n := 0
	for _, i := range routes {
		n += r.tally(p, i).requests
	}
	return fmt.Sprintf("%.0f", float64(n)/p.seconds())
}

// purged is the sorted durations of the purges that were sent in a phase and ended with the status code.
func (r *result) purged(p phase, code int) []time.Duration {
	var took []time.Duration
	for _, x := range r.purges {
		if p.holds(x.sent) && x.code == code {
			took = append(took, x.took)
		}
	}
	slices.Sort(took)
	return took
}
