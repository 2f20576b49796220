// Command shop measures how much load the proxy takes off a relational database. The command starts PostgreSQL, the
// sample shop and the proxy, and requests product pages as shoppers do: a few of them very often, most of them rarely.
// The report has the queries and the CPU time that are left for PostgreSQL, the hit ratio beside the theoretical one,
// and the latency.
//
//	go run -C test/system ./bench/shop
//	go run -C test/system ./bench/shop --products 10000 --duration 10s   # about a minute
package main

import (
	"context"
	"errors"
	"os"

	"cacheproxy/test/system/bench"
)

func main() { bench.Main("bench-shop", run) }

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return bench.InFolder("bench-shop", func(dir string) (err error) {
		sc, err := setUp(ctx, dir, o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sc.tearDown()) }()
		r := report{options: o}
		if err := sc.measureDirect(ctx, &r); err != nil {
			return err
		}
		var failed error
		if !o.directOnly {
			failed = sc.measureProxied(ctx, &r)
		}
		if failed == nil {
			failed = sc.measureStock(ctx, &r)
		}
		// Completed measurements are worth reading even where the rest failed.
		return errors.Join(r.print(os.Stdout), failed)
	})
}
