package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/test/system/bench"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// result is the measurement of one kind of route.
type result struct {
	kind
	writes int
	failed map[string]int  // writes that the origin did not answer, by status
	took   []time.Duration // of all other writes, sorted
	server work            // work during the measurement
	proxy  time.Duration   // CPU time of all proxies
}

// measure sends writes to one kind of route.
func (f *fleet) measure(ctx context.Context, o options, k kind) (r result, err error) {
	r = result{kind: k, failed: map[string]int{}}
	if r.kind.direct {
		return r, f.send(ctx, o, k, o.lasts, &r)
	}
	if err := f.send(ctx, o, k, o.warm, &result{failed: map[string]int{}}); err != nil {
		return r, err
	}
	before, err := f.worked(ctx)
	if err != nil {
		return r, err
	}
	began := time.Now()
	cpu, err := f.cpu()
	if err != nil {
		return r, err
	}
	if err := f.send(ctx, o, k, o.lasts, &r); err != nil {
		return r, err
	}
	if r.proxy, err = f.cpu(); err != nil {
		return r, err
	}
	r.proxy -= cpu
	after, err := f.worked(ctx)
	r.server = after.since(before).since(f.idle.times(time.Since(began).Seconds()))
	return r, err
}

// rest measures the server's work without writes.
func (f *fleet) rest(ctx context.Context, o options) error {
	lasts := min(o.lasts, 10*time.Second)
	before, err := f.worked(ctx)
	if err != nil {
		return err
	}
	select {
	case <-time.After(lasts):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := f.worked(ctx)
	f.idle = after.since(before).times(1 / lasts.Seconds())
	return err
}

func (f *fleet) send(ctx context.Context, o options, k kind, lasts time.Duration, into *result) error {
	var next atomic.Int64
	targets := func(t *vegeta.Target) error {
		n := int(next.Add(1))
		base := f.origin.URL
		if !k.direct {
			base = f.proxies[n%len(f.proxies)].URL
		}
		t.Method, t.URL = http.MethodPost, base+fmt.Sprintf(k.path, n*7919%o.keys)
		t.Header = http.Header{"Host": {"shop.example"}}
		return nil
	}
	attack := bench.Attack{Targets: targets, Pacer: bench.EverySecond(o.rate), For: lasts, Workers: 64, Most: 2000}
	attack.Run(ctx, func(one *vegeta.Result) {
		into.writes++
		if one.Code != http.StatusNoContent {
			into.failed[strconv.Itoa(int(one.Code))]++
			return
		}
		into.took = append(into.took, one.Latency)
	})
	slices.Sort(into.took)
	return ctx.Err()
}

// work is the work of the server.
type work struct {
	sent  float64       // commands carried out, including those in scripts
	calls float64       // commands carried out, those of scripts included
	cpu   time.Duration // of its process
}

func (w work) since(before work) work {
	return work{w.sent - before.sent, w.calls - before.calls, w.cpu - before.cpu}
}

func (w work) times(n float64) work {
	return work{w.sent * n, w.calls * n, time.Duration(float64(w.cpu) * n)}
}

// whole are the commands that instances send themselves, scripts included. The server counts commands called by a
// script under their own names. PUBLISH is in both groups: instances send it, and the scripts that append entries call
// it. These scripts call HKEYS as often as PUBLISH, except for entries whose sender does not wait.
var whole = []string{"evalsha", "eval", "xread", "wait", "publish", "subscribe", "ping"}

// called is a command that these scripts call as often as PUBLISH.
const called = "hkeys"

// worked reads the server's work so far. The cost of the query itself is not part of the figures.
func (f *fleet) worked(ctx context.Context) (w work, err error) {
	for _, section := range []string{"commandstats", "cpu"} {
		text, err := f.valkey.CLI(ctx, "INFO", section)
		if err != nil {
			return w, err
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch command, ok := strings.CutPrefix(name, "cmdstat_"); {
			case ok:
				count, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
				n, err := strconv.ParseFloat(count, 64)
				if err != nil {
					return w, fmt.Errorf("read INFO: %q", line)
				}
				w.calls += n
				switch {
				case slices.Contains(whole, command):
					w.sent += n
				case command == called:
					w.sent -= n
				}
			case name == "used_cpu_user", name == "used_cpu_sys":
				s, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return w, fmt.Errorf("read INFO: %q", line)
				}
				w.cpu += time.Duration(s * float64(time.Second))
			}
		}
	}
	return w, nil
}

func (f *fleet) cpu() (sum time.Duration, err error) {
	for _, p := range f.proxies {
		d, err := bench.CPUOfTree(p.Process.PID())
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

func print(w io.Writer, o options, idle work, results []result) error {
	var out bench.Report
	fmt.Fprintf(&out, "%d writes/s open-loop for %v each, through %d proxies in turn, an origin that answers at once. %d cores (%s), %s; load\n"+
		"generator, origin, proxies and Valkey share them. While nothing is written, Valkey is sent %.0f commands/s and needs %.1f ms of CPU a\n"+
		"second, which is taken off.\n\n", o.rate, o.lasts, o.instances, runtime.NumCPU(), bench.CPUModel(), runtime.Version(),
		idle.sent, idle.cpu.Seconds()*1000)
	t := bench.NewTable(&out, results)
	direct := results[0]
	per := func(r result, n float64) string {
		if r.kind.direct {
			return "-"
		}
		return fmt.Sprintf("%.1f", n/float64(r.writes))
	}
	added := func(p int) func(result) string {
		return func(r result) string {
			if r.kind.direct {
				return "-"
			}
			return bench.Milliseconds(bench.Percentile(r.took, p) - bench.Percentile(direct.took, p))
		}
	}
	t.Line("", func(r result) string { return r.name })
	t.Line("writes", func(r result) string { return fmt.Sprint(r.writes) })
	t.Line("p50", func(r result) string { return bench.Milliseconds(bench.Percentile(r.took, 50)) })
	t.Line("p99", func(r result) string { return bench.Milliseconds(bench.Percentile(r.took, 99)) })
	t.Line("added, p50", added(50))
	t.Line("added, p99", added(99))
	t.Line("sent to Valkey per write", func(r result) string { return per(r, r.server.sent) })
	t.Line("commands there per write", func(r result) string { return per(r, r.server.calls) })
	t.Line("µs of its CPU per write", func(r result) string { return per(r, float64(r.server.cpu.Microseconds())) })
	t.Line("µs of the proxies' CPU per write", func(r result) string { return per(r, float64(r.proxy.Microseconds())) })
	if err := t.Close(); err != nil {
		return err
	}
	for _, r := range results {
		if len(r.failed) > 0 {
			fmt.Fprintf(&out, "%s, not answered by the origin: %s.\n", r.name, bench.Counts(r.failed))
		}
	}
	out.WriteString("off: can be switched on, and has copies from before then; each write has its entry. uncached: no route can have copies of what is written.\n")
	fmt.Fprintf(&out, "Command: %s\n", o.flags.Command())
	return out.Print(w)
}
