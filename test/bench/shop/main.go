// Command shop measures what the proxy takes off a relational database. It
// starts PostgreSQL, the sample shop and the proxy, asks for product pages as
// shoppers do (a few of them very often, most of them rarely), and reports the
// queries and the CPU that PostgreSQL is left with, the hit ratio beside the
// one that arithmetic allows, and the latency.
//
//	go run ./test/bench/shop
//	go run ./test/bench/shop --products 10000 --duration 10s   # about a minute
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-shop-")
	if err != nil {
		return fmt.Errorf("make working folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := setUp(ctx, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.tearDown()) }()
	r := report{command: o.command, options: o}
	if err := b.measureDirect(ctx, &r); err != nil {
		return err
	}
	var failed error
	if !o.directOnly {
		failed = b.measureProxied(ctx, &r)
	}
	// What has been measured is worth reading also where the rest failed.
	return errors.Join(r.print(os.Stdout), failed)
}
