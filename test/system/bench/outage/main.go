// Command outage measures how the proxies of a fleet behave when their Valkey fails under load. The command starts a
// Valkey, several proxies, and an origin of known capacity. Load is open-loop reads over two routes, one with
// on_lease_loss: serve_stale and one with origin, with purges beside them. Valkey then fails for longer than the leases
// last, and comes back. The command does so for three failures: Valkey is killed and keeps its log, is killed and loses
// everything, and freezes.
//
//	go run -C test/system ./bench/outage
//	go run -C test/system ./bench/outage --rate 1500 --down 10s
//
// The command fails when a promise was broken; the report says which.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"cacheproxy/test/system/bench"
)

func main() { bench.Main("bench-outage", run) }

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return bench.InFolder("bench-outage", func(dir string) error {
		binary, err := o.flags.Binary(ctx, dir)
		if err != nil {
			return err
		}
		if err := printSetting(os.Stdout, o); err != nil {
			return err
		}
		var broken []error
		for _, f := range failures {
			if o.only != "" && o.only != f.short {
				continue
			}
			found, err := measured(ctx, o, f, binary, dir)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			for _, b := range found {
				broken = append(broken, fmt.Errorf("%s: %s", f.name, b))
			}
		}
		return errors.Join(broken...)
	})
}

// measured prints the measurement of a failure, and returns the broken promises.
func measured(ctx context.Context, o options, f failure, binary, dir string) (broken []string, err error) {
	r, err := measure(ctx, o, f, binary, dir)
	if err != nil {
		return nil, err
	}
	if err := r.overloaded(); err != nil {
		return nil, err
	}
	broken = r.broken()
	return broken, r.print(os.Stdout, broken)
}
