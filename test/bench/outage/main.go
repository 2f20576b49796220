// Command outage measures what the proxies of a fleet do when their Valkey fails under load. It starts a Valkey, several
// proxies, and an origin of known capacity, sends reads open-loop over two routes, one with on_lease_loss: serve_stale and
// one with origin, and purges beside them. Then it takes Valkey away for longer than the leases last, and gives it back. It
// does so three times: Valkey is killed and keeps its log, is killed and loses everything, and freezes.
//
//	go run ./test/bench/outage
//	go run ./test/bench/outage --rate 1500 --down 10s
//
// It fails when a promise was broken; the report says which.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"cacheproxy/test/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-outage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-outage-")
	if err != nil {
		return fmt.Errorf("make working folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := o.binary
	if binary == "" {
		if binary, err = servers.BuildCacheproxy(ctx, dir); err != nil {
			return err
		}
	}
	if err := printSetting(os.Stdout, o); err != nil {
		return err
	}
	var broken []error
	for _, f := range failures {
		if o.only != "" && o.only != f.short {
			continue
		}
		r, err := measure(ctx, o, f, binary, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := r.overloaded(); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		found := r.broken()
		if err := r.print(os.Stdout, found); err != nil {
			return err
		}
		for _, b := range found {
			broken = append(broken, fmt.Errorf("%s: %s", f.name, b))
		}
	}
	return errors.Join(broken...)
}
