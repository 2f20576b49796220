// Command churn measures the proxy's memory while copies come and go: the resident memory beside the documented bound,
// for several sizes of the memory for copies. The command first fills that memory twice, and then requests new URLs at
// a rate and hot URLs besides. Bodies have a hundred bytes to sixty kilobytes, so that freed copies leave holes that
// fit few other copies.
//
//	go run -C test/system ./bench/churn
//	go run -C test/system ./bench/churn --sizes 64,1024 --time 3m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/bench"
)

func main() { bench.Main("bench-churn", run) }

// The bound: memory of the process for each byte of memory.size, for itself, for each connection, and for each purged
// name.
const (
	perByte       = 1.25
	itself        = 64 << 20
	perConnection = 16 << 10
	perMark       = 80
)

const (
	connections = 32
	hot         = 200 // URLs that are requested again and again
)

type options struct {
	sizes []int // of the memory for copies, in MiB
	rate  int   // of new URLs, and of hits
	lasts time.Duration

	flags *bench.Flags
}

func parseOptions(args []string) (o options, err error) {
	o.flags = bench.NewFlags("churn")
	sizes := o.flags.String("sizes", "64,256,1024", "memory for copies, in MiB")
	o.flags.IntVar(&o.rate, "rate", 1000, "URLs a second that nobody has asked for, and hits a second")
	o.flags.DurationVar(&o.lasts, "time", 2*time.Minute, "how long they come, for each size")
	if err := o.flags.Parse(args); err != nil {
		return o, err
	}
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 8 {
			return o, fmt.Errorf("--sizes has %q, want whole MiB, 8 at least", text)
		}
		o.sizes = append(o.sizes, n)
	}
	if o.rate < 1 || o.lasts < time.Second {
		return o, errors.New("--rate has to be positive, and --time a second at least")
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) || err != nil {
		return err
	}
	return bench.InFolder("bench-churn", func(dir string) error {
		binary, err := o.flags.Binary(ctx, dir)
		if err != nil {
			return err
		}
		var rows []row
		for _, size := range o.sizes {
			r, err := measure(ctx, o, binary, filepath.Join(dir, strconv.Itoa(size)), size)
			if err != nil {
				return err
			}
			rows = append(rows, r)
		}
		var out bench.Report
		fmt.Fprintf(&out, "%d cores (%s), %s; client, origin and proxy share them.\n", runtime.NumCPU(), bench.CPUModel(), runtime.Version())
		fmt.Fprintf(&out, "%d new URLs a second and %d hits for %s, on %d connections each, after twice as many copies as fit:\n", o.rate, o.rate, o.lasts, connections)
		t := bench.NewTable(&out, rows)
		t.Line("memory.size, MiB", func(r row) string { return fmt.Sprint(r.size) })
		t.Line("copies", func(r row) string { return fmt.Sprintf("%.0f", r.copies) })
		t.Line("resident at most, MiB", func(r row) string { return fmt.Sprint(r.resident >> 20) })
		t.Line("bound, MiB", func(r row) string { return fmt.Sprint(r.bound() >> 20) })
		t.Line("resident/bound", func(r row) string { return fmt.Sprintf("%.2f", float64(r.resident)/float64(r.bound())) })
		t.Line("marks", func(r row) string { return fmt.Sprintf("%.0f", r.marks) })
		t.Line("answers/s of new URLs", func(r row) string { return fmt.Sprintf("%.0f", float64(r.new)/o.lasts.Seconds()) })
		t.Line("hits/s of hot ones", func(r row) string { return fmt.Sprintf("%.0f", float64(len(r.took))/o.lasts.Seconds()) })
		t.Line("a hit, p50", func(r row) string { return bench.Milliseconds(bench.Percentile(r.took, 50)) })
		t.Line("a hit, p99", func(r row) string { return bench.Milliseconds(bench.Percentile(r.took, 99)) })
		t.Line("longest pause of the collector", func(r row) string { return fmt.Sprintf("%.2f ms", r.pause*1000) })
		if err := t.Close(); err != nil {
			return err
		}
		fmt.Fprintf(&out, "\nCommand: %s\n", o.flags.Command())
		return out.Print(os.Stdout)
	})
}

// row is the result for one size of the memory.
type row struct {
	size          int
	copies, marks float64
	resident      int64
	new           int
	took          []time.Duration // of hits, sorted
	pause         float64         // in seconds
}

func (r row) bound() int64 {
	return int64(perByte*float64(r.size<<20)) + itself + 2*connections*perConnection + perMark*int64(r.marks)
}

const configuration = `drain_delay: 0s
memory: {size: %dMiB, max_object: 1MiB}
log: {hits: 0%%, others: 0%%, level: warn}
upstreams:
  - {name: origin, url: "%s"}
routes:
  - {name: all, match: "GET /", policy: cache-aside, ttl: 12h}
`

func measure(ctx context.Context, o options, binary, dir string, size int) (r row, err error) {
	r.size = size
	origin := newOrigin()
	defer origin.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return r, fmt.Errorf("make folder: %w", err)
	}
	proxy, err := servers.StartCacheproxy(ctx, binary, dir, fmt.Sprintf(configuration, size, origin.URL))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, proxy.Process.Stop()) }()
	load := &load{address: strings.TrimPrefix(proxy.URL, "http://")}
	watched := bench.WatchMemory(proxy.Process.PID(), bench.ResidentMemoryOfTree)
	r.new, r.took, err = load.run(ctx, 2*size<<20/meanSize, o)
	samples, failed := watched()
	if err = errors.Join(err, failed); err != nil {
		return r, err
	}
	r.resident = slices.Max(samples)
	metrics, err := proxy.Metrics(ctx)
	if err != nil {
		return r, err
	}
	for _, q := range metrics["go_gc_duration_seconds"].GetMetric()[0].GetSummary().GetQuantile() {
		r.pause = max(r.pause, q.GetValue())
	}
	if r.marks, err = proxy.Gauge(ctx, "cacheproxy_ledger_members"); err != nil {
		return r, err
	}
	for _, m := range metrics["cacheproxy_store_entries"].GetMetric() {
		r.copies += m.GetGauge().GetValue()
	}
	return r, nil
}
