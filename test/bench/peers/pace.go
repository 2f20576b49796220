package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"cacheproxy/test/bench"
)

// paceCommand is the word after which this program sends requests at a steady rate.
const paceCommand = "send-paced"

// settle is how long connections are made; nothing is counted meanwhile.
const settle = 500 * time.Millisecond

// latency is how long answers took, from when their request was due.
type latency struct {
	Requests int           `json:"requests"`
	Failed   int           `json:"failed"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`
	Longest  time.Duration `json:"longest_ns"`
}

// timed is one request: its place in the schedule, when it was sent, and when it was answered.
type timed struct {
	place          uint64
	sent, answered time.Time
	failed         bool
}

// fromSchedule counts each answer's time from when its request was due, not from when it was sent: a request that waits in
// the generator because the server keeps all connections busy has waited for the server (coordinated omission). What was
// due within skip is left out.
func fromSchedule(requests []timed, rate int, skip time.Duration) latency {
	if len(requests) == 0 {
		return latency{}
	}
	due := func(place uint64) time.Duration {
		return time.Duration(float64(place) / float64(rate) * float64(time.Second))
	}
	begin := requests[0].sent.Add(-due(requests[0].place))
	for _, r := range requests {
		if b := r.sent.Add(-due(r.place)); b.Before(begin) {
			begin = b
		}
	}
	var l latency
	var took []time.Duration
	for _, r := range requests {
		if due(r.place) < skip {
			continue
		}
		l.Requests++
		if r.failed {
			l.Failed++
			continue
		}
		took = append(took, r.answered.Sub(begin.Add(due(r.place))))
	}
	slices.Sort(took)
	l.P50, l.P99, l.P999, l.Longest = perMille(took, 500), perMille(took, 990), perMille(took, 999), perMille(took, 1000)
	return l
}

// perMille is the smallest of the sorted values that p in a thousand of them do not exceed.
func perMille(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+999)/1000-1)]
}

// runPaced sends requests in a process of its own, on the cores of the load.
func runPaced(ctx context.Context, c cores, m material, address, prefix string, rate int, duration time.Duration) (latency, error) {
	self, err := os.Executable()
	if err != nil {
		return latency{}, fmt.Errorf("find own binary: %w", err)
	}
	command := pinned(c.Load, self, paceCommand, "--address", address, "--heads", m.heads, "--paths", m.paths, "--prefix", prefix,
		"--rate", strconv.Itoa(rate), "--time", (duration + settle).String())
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return latency{}, fmt.Errorf("send at a steady rate: %w: %s", err, out)
	}
	var l latency
	if err := json.Unmarshal(out, &l); err != nil {
		return latency{}, fmt.Errorf("send at a steady rate: %w: %s", err, out)
	}
	if l.Failed*1000 > l.Requests {
		return l, fmt.Errorf("send at a steady rate: %d of %d requests failed", l.Failed, l.Requests)
	}
	return l, nil
}

func sendPaced(args []string) error {
	flags := flag.NewFlagSet(paceCommand, flag.ContinueOnError)
	address, heads, paths := flags.String("address", "", ""), flags.String("heads", "", ""), flags.String("paths", "", "")
	prefix := flags.String("prefix", "", "")
	rate, duration := flags.Int("rate", 1, ""), flags.Duration("time", time.Second, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	targets, err := targetsFrom(*address, *heads, *paths, *prefix)
	if err != nil {
		return err
	}
	var all []timed
	attack := bench.Attack{Targets: targets, Pacer: bench.EverySecond(*rate), For: *duration, Workers: 32, Most: 4096}
	attack.Run(context.Background(), func(r *vegeta.Result) {
		all = append(all, timed{r.Seq, r.Timestamp, r.Timestamp.Add(r.Latency), r.Code != http.StatusOK})
	})
	return json.NewEncoder(os.Stdout).Encode(fromSchedule(all, *rate, settle))
}

func targetsFrom(address, headsFile, pathsFile, prefix string) (vegeta.Targeter, error) {
	text, err := os.ReadFile(headsFile)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	var heads []http.Header
	for head := range strings.SplitSeq(strings.TrimSuffix(string(text), "\r\n\r\n"), "\r\n\r\n") {
		h := http.Header{}
		for line := range strings.SplitSeq(head, "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			h.Set(name, value)
		}
		heads = append(heads, h)
	}
	if text, err = os.ReadFile(pathsFile); err != nil {
		return nil, fmt.Errorf("read paths: %w", err)
	}
	paths := strings.Fields(string(text))
	var next atomic.Int64
	return func(t *vegeta.Target) error {
		n := int(next.Add(1))
		path := paths[n%len(paths)]
		if path == unique {
			path = prefix + strconv.Itoa(n)
		}
		*t = vegeta.Target{Method: http.MethodGet, URL: "http://" + address + path, Header: heads[n%len(heads)]}
		return nil
	}, nil
}
