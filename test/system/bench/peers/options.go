package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cacheproxy/test/system/bench"
)

type options struct {
	loads    string
	peers    string
	heads    string
	rounds   int
	time     time.Duration
	baseline string
	json     string
	svg      string
	from     string
	objects  int           // of the measurement of memory
	filling  time.Duration // of the measurement of memory
	rate     int           // of the measurement of latency

	flags *bench.Flags
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := bench.NewFlags("peers")
	o.flags = flags
	flags.StringVar(&o.loads, "loads", "all", "names of loads, comma-separated; and latency, memory, churn")
	flags.StringVar(&o.peers, "peers", "all", "names of peers, comma-separated")
	flags.StringVar(&o.heads, "heads", "both", "realistic, constant, or both where a load is measured with both")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each figure is measured, all peers in turn")
	flags.DurationVar(&o.time, "time", time.Second, "how long each measurement takes; whole seconds")
	flags.StringVar(&o.baseline, "baseline", "", "another cacheproxy binary, measured as a peer")
	flags.StringVar(&o.json, "json", "", "a file for everything that was measured")
	flags.StringVar(&o.svg, "svg", "", "a file for a plot of the CPU time per request")
	flags.StringVar(&o.from, "from", "", "a file that --json wrote: print and plot that, and measure nothing")
	flags.IntVar(&o.objects, "memory-objects", 1_000_000, "how many objects of 2 KiB the measurement of memory holds")
	flags.DurationVar(&o.filling, "memory-filling", 150*time.Second, "how long each server is filled at most for that; 0: until it holds them all")
	flags.IntVar(&o.rate, "rate", 2000, "requests per second of the measurement of latency; half of it with misses")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if !slices.Contains([]string{"both", realistic, constants}, o.heads) {
		return options{}, fmt.Errorf("--heads is %q, want both, %s or %s", o.heads, realistic, constants)
	}
	if o.rounds < 1 || o.time < time.Second || o.time%time.Second != 0 || o.objects < 1 || o.rate < 1 || o.filling < 0 {
		return options{}, errors.New("--rounds, --memory-objects and --rate must be positive, --time whole seconds, --memory-filling not negative")
	}
	return o, nil
}

// Measurements that are not rows of the table.
const (
	latencyName = "latency"
	memoryName  = "memory"
	churnName   = "churn"
)

// wants reports whether a load or another measurement was selected.
func (o options) wants(name string) bool { return named(o.loads, name) }

func named(list, name string) bool {
	return list == "all" || slices.Contains(strings.Split(list, ","), name)
}

// checkNames refuses unknown names.
func checkNames(option, list string, known []string) error {
	if list == "all" {
		return nil
	}
	for _, name := range strings.Split(list, ",") {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--%s: there is no %q; there are %s", option, name, strings.Join(known, ", "))
		}
	}
	return nil
}

func (o options) checkNames(loads []load, peers []peer) error {
	names := []string{}
	for _, l := range loads {
		names = append(names, l.name)
	}
	peerNames := []string{}
	for _, p := range peers {
		peerNames = append(peerNames, p.name)
	}
	return errors.Join(checkNames("loads", o.loads, append(names, latencyName, memoryName, churnName)), checkNames("peers", o.peers, peerNames))
}

// binary is the proxy's binary, built where the flag names none.
func (o options) binary(ctx context.Context, dir string) (string, error) {
	return o.flags.Binary(ctx, dir)
}
