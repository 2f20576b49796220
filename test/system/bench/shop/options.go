package main

import (
	"errors"
	"time"

	"cacheproxy/test/system/bench"
)

type options struct {
	products   int
	rate       int     // requests/s
	exponent   float64 // of the Zipf distribution
	duration   time.Duration
	probe      time.Duration
	edits      float64 // per second
	seed       uint64
	directOnly bool
	stockRate  int     // requests/s
	writes     float64 // share of stockRate that sets the stock

	flags *bench.Flags
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := bench.NewFlags("shop")
	o.flags = flags
	flags.IntVar(&o.products, "products", 100_000, "how many products the shop has")
	flags.IntVar(&o.rate, "rate", 3000, "requests per second")
	flags.Float64Var(&o.exponent, "zipf", 1.0, "exponent of the Zipf distribution of the products asked for; 0: all alike")
	flags.DurationVar(&o.duration, "duration", 30*time.Second, "how long each load is measured")
	flags.DurationVar(&o.probe, "probe", 5*time.Second, "how long to look for the rate that the shop can sustain alone")
	flags.Float64Var(&o.edits, "edits", 5, "product edits per second, each followed by a purge, in the part with purges")
	flags.Uint64Var(&o.seed, "seed", 1, "of the random numbers")
	flags.IntVar(&o.stockRate, "stock-rate", 500, "requests per second for the stock of products")
	flags.Float64Var(&o.writes, "stock-writes", 0.2, "share of them that sets it")
	flags.BoolVar(&o.directOnly, "direct-only", false, "measure the shop alone, without the proxy")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	switch {
	case o.products < 1 || o.rate < 1 || o.exponent < 0 || o.edits <= 0:
		return options{}, errors.New("--products, --rate and --edits must be positive, --zipf must not be negative")
	case o.stockRate < 1 || o.writes < 0 || o.writes >= 1:
		return options{}, errors.New("--stock-rate must be positive, --stock-writes at least 0 and less than 1")
	case o.duration < time.Second || o.probe < time.Second:
		return options{}, errors.New("--duration and --probe must be at least 1s")
	}
	return o, nil
}
