// Command overload measures how the proxy protects an origin that is offered many times its capacity. Every request is
// a miss. The command starts an origin of known capacity and the proxy, and sends requests open-loop at a multiple of
// that capacity. The report has the origin's concurrent requests and used capacity, how many requests waited or were
// shed and how fast, the growth of memory, and the latency before and right after.
//
//	go run -C test/system ./bench/overload
//	go run -C test/system ./bench/overload --duration 10s
//
// The command fails when the origin had more concurrent requests than max_in_flight.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/bench"
)

func main() { bench.Main("bench-overload", run) }

// configuration has the limits of the origin, and so little memory for copies that the memory is full within seconds.
const configuration = `drain_delay: 0s
memory: {size: 8MiB, max_object: 64KiB}
log: {others: 1%%}
upstreams:
  - {name: origin, url: "%s", max_in_flight: %d, max_queue: %d, queue_timeout: %s}
routes:
  - {name: all, match: /, policy: cache-aside, ttl: 1m}
`

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return bench.InFolder("bench-overload", func(dir string) error {
		r, err := o.measureIn(ctx, dir)
		if err != nil {
			return err
		}
		if err := r.print(os.Stdout); err != nil {
			return err
		}
		if r.most > int64(o.places) {
			return fmt.Errorf("the origin saw %d requests at once, and max_in_flight is %d", r.most, o.places)
		}
		return nil
	})
}

func (o options) measureIn(ctx context.Context, dir string) (_ result, err error) {
	binary, err := o.flags.Binary(ctx, dir)
	if err != nil {
		return result{}, err
	}
	origin := &origin{work: o.work}
	served := httptest.NewServer(origin)
	defer served.Close()
	proxy, err := servers.StartCacheproxy(ctx, binary, dir,
		fmt.Sprintf(configuration, served.URL, o.places, o.queue, o.queueTimeout))
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, proxy.Process.Stop()) }()
	return measure(ctx, o, origin, proxy)
}
