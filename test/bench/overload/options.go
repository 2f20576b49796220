package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

type options struct {
	places       int           // max_in_flight: what the origin works on at once
	work         time.Duration // for one request
	times        float64       // the capacity
	duration     time.Duration // of the overload
	queue        int
	queueTimeout time.Duration
	binary       string

	// command is the command line with every flag, also those left at default.
	command string
}

// capacity is the requests per second that the origin can do.
func (o options) capacity() float64 { return float64(o.places) / o.work.Seconds() }

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench-overload", flag.ContinueOnError)
	flags.IntVar(&o.places, "places", 20, "how many requests the origin works on at once; max_in_flight")
	flags.DurationVar(&o.work, "work", 100*time.Millisecond, "how long the origin works on one request")
	flags.Float64Var(&o.times, "times", 10, "how many times its capacity the origin is offered")
	flags.DurationVar(&o.duration, "duration", time.Minute, "how long the overload lasts")
	flags.IntVar(&o.queue, "queue", 256, "max_queue")
	flags.DurationVar(&o.queueTimeout, "queue-timeout", time.Second, "queue_timeout")
	flags.StringVar(&o.binary, "cacheproxy", "", "the proxy's binary; empty: build ./cmd/cacheproxy")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	switch {
	case flags.NArg() > 0:
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.places < 1 || o.work <= 0 || o.times <= 0 || o.queueTimeout <= 0 || o.queue < 0:
		return options{}, errors.New("--places, --work, --times and --queue-timeout must be positive, --queue must not be negative")
	case o.duration < 4*time.Second:
		return options{}, errors.New("--duration must be at least 4s")
	}
	words := []string{"go run ./test/bench/overload"}
	flags.VisitAll(func(f *flag.Flag) {
		if f.Name != "cacheproxy" {
			words = append(words, fmt.Sprintf("--%s=%s", f.Name, f.Value))
		}
	})
	o.command = strings.Join(words, " ")
	return o, nil
}
