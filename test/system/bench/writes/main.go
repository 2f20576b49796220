// Command writes measures the cost of a write through one of several proxies that share a Valkey: the added time of the
// answer, and the work of the server. The command starts a Valkey, the proxies and an origin that answers at once.
// Writes are sent open-loop, first directly to the origin and then to all proxies in turn, once for each kind of route:
//
//   - a route that is off: switched on again, it would use its earlier copies, so that each write has its entry;
//   - a route where no instance can have copies, whose writes are to cost the server nothing;
//   - a route that caches;
//   - a route with fences around its writes.
//
// The work of the server is read from its INFO. The server's work without writes, for heartbeats and housekeeping, is
// measured first and taken off the figures.
//
//	go run -C test/system ./bench/writes
//	go run -C test/system ./bench/writes --rate 1000 --for 1m
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"time"

	"cacheproxy/test/system/bench"
)

func main() { bench.Main("bench-writes", run) }

type options struct {
	instances int
	rate      int           // writes per second, at all instances together
	keys      int           // URLs that are written to
	lasts     time.Duration // of each kind of route
	warm      time.Duration // how long the load runs before the measurement
	only      string        // names of kinds of routes, comma-separated; empty: all

	flags *bench.Flags
}

func parseOptions(args []string) (o options, err error) {
	o.flags = bench.NewFlags("writes")
	o.flags.IntVar(&o.instances, "instances", 3, "proxies")
	o.flags.IntVar(&o.rate, "rate", 500, "writes per second in all")
	o.flags.IntVar(&o.keys, "keys", 1000, "URLs that are written to")
	o.flags.DurationVar(&o.lasts, "for", 20*time.Second, "how long each kind of route is measured")
	o.flags.DurationVar(&o.warm, "warm", 3*time.Second, "for how long the load runs before it is measured")
	o.flags.StringVar(&o.only, "only", "", "routes to measure, with commas between; empty: all")
	if err := o.flags.Parse(args); err != nil {
		return o, err
	}
	if o.instances < 1 || o.rate < 1 || o.keys < 1 || o.lasts < time.Second {
		return o, errors.New("--instances, --rate and --keys must be positive, --for at least 1s")
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) || err != nil {
		return err
	}
	return bench.InFolder("bench-writes", func(dir string) (err error) {
		binary, err := o.flags.Binary(ctx, dir)
		if err != nil {
			return err
		}
		fl, err := startFleet(ctx, o, binary, dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, fl.stop()) }()
		if err := fl.rest(ctx, o); err != nil {
			return err
		}
		direct, err := fl.measure(ctx, o, kind{name: "direct", path: "/orders/%d", direct: true})
		if err != nil {
			return err
		}
		results := []result{direct}
		for _, k := range kinds {
			if o.only != "" && !slices.Contains(strings.Split(o.only, ","), k.name) {
				continue
			}
			r, err := fl.measure(ctx, o, k)
			if err != nil {
				return err
			}
			results = append(results, r)
		}
		return print(os.Stdout, o, fl.idle, results)
	})
}
