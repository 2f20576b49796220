// Command writes measures what a write costs that goes through one of several proxies which share a Valkey: what it adds to the time
// of the answer, and what it has the server do. It starts a Valkey, the proxies and an origin that answers at once, and sends
// writes open-loop, first directly to the origin and then to all proxies in turn, once for each kind of route: one that is off, but can
// be switched on again and then uses the copies it had, so that each of its writes has its entry; one under which no route in force anywhere can
// have copies, whose writes are to cost the server nothing; one that caches; and one whose writes are fenced. What the server did is read from
// its INFO. What it does while nothing is written, for heartbeats and its own housekeeping, is measured first, and in no figure of a write.
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
	keys      int           // that are written to
	lasts     time.Duration // of each kind of route
	warm      time.Duration // for how long the load runs before
	only      string        // names of kinds of route with commas between; empty: all

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
