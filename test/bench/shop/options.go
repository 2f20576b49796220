package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

type options struct {
	products   int
	rate       int     // requests/s
	exponent   float64 // of the Zipf distribution
	duration   time.Duration
	probe      time.Duration
	edits      float64 // per second
	seed       uint64
	binary     string
	directOnly bool

	// command is the command line with every flag, also those left at default.
	command string
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench-shop", flag.ContinueOnError)
	flags.IntVar(&o.products, "products", 100_000, "how many products the shop has")
	flags.IntVar(&o.rate, "rate", 3000, "requests per second")
	flags.Float64Var(&o.exponent, "zipf", 1.0, "exponent of the Zipf distribution of the products asked for; 0: all alike")
	flags.DurationVar(&o.duration, "duration", 30*time.Second, "how long each load is measured")
	flags.DurationVar(&o.probe, "probe", 5*time.Second, "how long to look for the rate that the shop can sustain alone")
	flags.Float64Var(&o.edits, "edits", 5, "product edits per second, each followed by a purge, in the part with purges")
	flags.Uint64Var(&o.seed, "seed", 1, "of the random numbers")
	flags.StringVar(&o.binary, "cacheproxy", "", "the proxy's binary; empty: build ./cmd/cacheproxy")
	flags.BoolVar(&o.directOnly, "direct-only", false, "measure the shop alone, without the proxy")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	switch {
	case flags.NArg() > 0:
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.products < 1 || o.rate < 1 || o.exponent < 0 || o.edits <= 0:
		return options{}, errors.New("--products, --rate and --edits must be positive, --zipf must not be negative")
	case o.duration < time.Second || o.probe < time.Second:
		return options{}, errors.New("--duration and --probe must be at least 1s")
	}
	words := []string{"go run ./test/bench/shop"}
	flags.VisitAll(func(f *flag.Flag) {
		words = append(words, fmt.Sprintf("--%s=%q", f.Name, f.Value))
	})
	o.command = strings.ReplaceAll(strings.Join(words, " "), `"`, `'`)
	return o, nil
}
