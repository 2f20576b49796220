package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"cacheproxy/test/system/bench"
)

func (r result) print(w io.Writer) error {
	var out bench.Report
	o := r.options
	fmt.Fprintf(&out, "GET of a URL of its own each time, %.0f requests/s offered to an origin that can do %.0f (%d at once, %v each), for %v\n",
		o.capacity()*o.times, o.capacity(), o.places, o.work, o.duration)
	fmt.Fprintf(&out, "%d cores, %s; load generator, origin and proxy share them\n\n", runtime.NumCPU(), runtime.Version())
	t := bench.NewTable(&out, []load{r.before, r.over, r.after})
	line := t.Line
	line("", func(l load) string { return l.name })
	line("requests/s offered", func(l load) string { return fmt.Sprintf("%.0f", l.offered) })
	line("requests/s answered with 200", func(l load) string { return fmt.Sprintf("%.0f", float64(len(l.served))/l.elapsed.Seconds()) })
	line("answered with 503", func(l load) string { return fmt.Sprint(len(l.shed)) })
	line("any other end", func(l load) string { return fmt.Sprint(sum(l.others)) })
	line("200: p50", func(l load) string { return bench.Milliseconds(bench.Percentile(l.served, 50)) })
	line("p99", func(l load) string { return bench.Milliseconds(bench.Percentile(l.served, 99)) })
	line("max", func(l load) string { return bench.Milliseconds(bench.Percentile(l.served, 100)) })
	line("503: p50", func(l load) string { return bench.Milliseconds(bench.Percentile(l.shed, 50)) })
	line("p99", func(l load) string { return bench.Milliseconds(bench.Percentile(l.shed, 99)) })
	line("max", func(l load) string { return bench.Milliseconds(bench.Percentile(l.shed, 100)) })
	line("the first second: p50", func(l load) string { return bench.Milliseconds(bench.Percentile(l.first, 50)) })
	line("p99", func(l load) string { return bench.Milliseconds(bench.Percentile(l.first, 99)) })
	if err := t.Close(); err != nil {
		return err
	}
	r.printNotes(&out)
	return out.Print(w)
}

func (r result) printNotes(out *bench.Report) {
	o := r.options
	fmt.Fprintf(out, "\nThe origin saw at most %d requests at once (max_in_flight: %d) and did %.0f a second during the overload, %.0f %% of its capacity.\n",
		r.most, o.places, r.goodput, 100*r.goodput/o.capacity())
	// The limit is the timeout and a tenth for the network.
	limit := o.queueTimeout + o.queueTimeout/10
	late := len(r.over.shed) - countUpTo(r.over.shed, limit)
	fmt.Fprintf(out, "Shed: %s; %d of %d took longer than queue_timeout and a tenth (%v), %d came without Retry-After.\n",
		bench.Counts(r.over.reasons), late, len(r.over.shed), limit, r.over.bare)
	if n := sum(r.over.others); n > 0 {
		fmt.Fprintf(out, "Other ends: %s\n", bench.Counts(r.over.others))
	}
	fmt.Fprintf(out, "Waited for a place, by the proxy's metrics: %s\n", r.waits)
	quarter := max(1, len(r.memory)/4)
	fmt.Fprintf(out, "The proxy's resident memory: %s at most in the second quarter of the overload, %s in the last.\n",
		megabytes(slices.Max(r.memory[min(quarter, len(r.memory)-1):min(2*quarter, len(r.memory))])), megabytes(slices.Max(r.memory[len(r.memory)-quarter:])))
	fmt.Fprintf(out, "The load right after begins with the last request of the overload, behind a full queue: no request that came more than\n"+
		"%.1f s after that took longer than twice the origin's %v.\n", r.after.slow.Seconds(), o.work)
	fmt.Fprintf(out, "\nCommand: %s\n", o.flags.Command())
}

// String is the share of waiting requests between each two bounds.
func (h histogram) String() string {
	all := h[len(h)-1].count
	if all == 0 {
		return "nobody"
	}
	var words []string
	below := int64(0)
	for _, b := range h {
		if b.count > below {
			bound := "longer"
			if b.most >= 0 {
				bound = "≤" + b.most.String()
			}
			words = append(words, fmt.Sprintf("%s %.1f %%", bound, 100*float64(b.count-below)/float64(all)))
		}
		below = b.count
	}
	return strings.Join(words, ", ")
}

func countUpTo(sorted []time.Duration, most time.Duration) int {
	n, _ := slices.BinarySearch(sorted, most+1)
	return n
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

func sum(of map[string]int) (n int) {
	for _, count := range of {
		n += count
	}
	return n
}
