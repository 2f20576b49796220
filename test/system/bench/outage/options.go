package main

import (
	"errors"
	"time"

	"cacheproxy/test/system/bench"
)

type options struct {
	instances int
	rate      int // reads per second, over all routes and instances
	keys      int // of each route
	exponent  float64
	purges    float64       // per second
	places    int           // max_in_flight of each instance
	fleet     int           // fleet_max_in_flight
	work      time.Duration // of the origin for one request
	lease     time.Duration
	before    time.Duration // how long the load runs before Valkey fails
	down      time.Duration // how long the failure lasts
	after     time.Duration // how long the load runs after Valkey is back
	only      string        // the failure, by its short name; empty: all

	flags *bench.Flags
}

// capacity is the number of requests per second that the fleet may send to the origin.
func (o options) capacity() float64 { return float64(o.fleet) / o.work.Seconds() }

func parseOptions(args []string) (options, error) {
	var o options
	flags := bench.NewFlags("outage")
	o.flags = flags
	flags.IntVar(&o.instances, "instances", 3, "proxies")
	flags.IntVar(&o.rate, "rate", 3000, "reads per second in all, half of them on each route")
	flags.IntVar(&o.keys, "keys", 2000, "keys of each route")
	flags.Float64Var(&o.exponent, "zipf", 1.1, "exponent of the keys' popularity, above 1")
	flags.Float64Var(&o.purges, "purges", 5, "purges per second")
	flags.IntVar(&o.places, "places", 36, "max_in_flight")
	flags.IntVar(&o.fleet, "fleet-places", 36, "fleet_max_in_flight")
	flags.DurationVar(&o.work, "work", 100*time.Millisecond, "how long the origin works on one request")
	flags.DurationVar(&o.lease, "lease", 3*time.Second, "the lease of an instance")
	flags.DurationVar(&o.before, "before", 10*time.Second, "how long the load runs before Valkey fails")
	flags.DurationVar(&o.down, "down", 15*time.Second, "for how long Valkey fails")
	flags.DurationVar(&o.after, "after", 20*time.Second, "how long the load runs after Valkey is back")
	flags.StringVar(&o.only, "only", "", "one failure: aof, empty, frozen; empty: all three")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	switch {
	case o.instances < 1 || o.rate < 1 || o.keys < 1 || o.purges <= 0 || o.work <= 0 || o.exponent <= 1:
		return options{}, errors.New("--instances, --rate, --keys, --purges and --work must be positive, --zipf above 1")
	case o.places < 1 || o.fleet < o.instances:
		return options{}, errors.New("--places must be positive, --fleet-places at least --instances")
	case o.down < 2*o.lease:
		return options{}, errors.New("--down must be at least twice --lease")
	case o.after < 3*o.lease+5*time.Second:
		return options{}, errors.New("--after must be at least three times --lease and 5s more")
	}
	return o, nil
}
