package main

import (
	"errors"
	"time"

	"cacheproxy/test/system/bench"
)

type options struct {
	places       int           // max_in_flight: concurrent requests that the origin works on
	work         time.Duration // for one request
	times        float64       // multiple of the capacity
	duration     time.Duration // of the overload
	queue        int
	queueTimeout time.Duration

	flags *bench.Flags
}

// capacity is the number of requests per second that the origin can answer.
func (o options) capacity() float64 { return float64(o.places) / o.work.Seconds() }

func parseOptions(args []string) (options, error) {
	var o options
	flags := bench.NewFlags("overload")
	o.flags = flags
	flags.IntVar(&o.places, "places", 20, "how many requests the origin works on at once; max_in_flight")
	flags.DurationVar(&o.work, "work", 100*time.Millisecond, "how long the origin works on one request")
	flags.Float64Var(&o.times, "times", 10, "how many times its capacity the origin is offered")
	flags.DurationVar(&o.duration, "duration", time.Minute, "how long the overload lasts")
	flags.IntVar(&o.queue, "queue", 256, "max_queue")
	flags.DurationVar(&o.queueTimeout, "queue-timeout", time.Second, "queue_timeout")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	switch {
	case o.places < 1 || o.work <= 0 || o.times <= 0 || o.queueTimeout <= 0 || o.queue < 0:
		return options{}, errors.New("--places, --work, --times and --queue-timeout must be positive, --queue must not be negative")
	case o.duration < 4*time.Second:
		return options{}, errors.New("--duration must be at least 4s")
	}
	return o, nil
}
