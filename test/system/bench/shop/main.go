// Command shop measures what the proxy takes off a relational database. It
// starts PostgreSQL, the sample shop and the proxy, asks for product pages as
// shoppers do (a few of them very often, most of them rarely), and reports the
// queries and the CPU that PostgreSQL is left with, the hit ratio beside the
// one that arithmetic allows, and the latency.
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
		// What has been measured is worth reading also where the rest failed.
		return errors.Join(r.print(os.Stdout), failed)
	})
}
