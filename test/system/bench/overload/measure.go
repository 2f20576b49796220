package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/bench"

	"golang.org/x/sync/errgroup"
)

// calm is the duration of the load before and after, at half of the capacity.
const calm = 5 * time.Second

// result is everything that was measured.
type result struct {
	options             options
	before, over, after load
	most                int64   // concurrent requests at the origin, over the whole run
	goodput             float64 // answers of the origin per second of the overload
	waits               histogram
	memory              []int64 // of the proxy during the overload, in bytes, sampled evenly
}

// measure sends the load before and the overload. The load after begins as soon as the last request of the overload was
// sent, while the queue is still full.
func measure(ctx context.Context, o options, origin *origin, proxy *servers.Cacheproxy) (result, error) {
	r := result{options: o}
	var serial atomic.Int64
	half := max(1, int(o.capacity()/2))
	var err error
	if r.before, err = send(ctx, "before", proxy.URL, half, calm, 2*o.work, &serial); err != nil {
		return r, err
	}
	waited, err := queueWaits(ctx, proxy)
	if err != nil {
		return r, err
	}
	watch := bench.WatchMemory(proxy.Process.PID(), bench.ResidentMemory)
	answered := origin.answered.Load()
	var calmed errgroup.Group
	calmed.Go(func() (err error) {
		select {
		case <-time.After(o.duration):
		case <-ctx.Done():
			return ctx.Err()
		}
		r.goodput = float64(origin.answered.Load()-answered) / o.duration.Seconds()
		r.after, err = send(ctx, "right after", proxy.URL, half, calm, 2*o.work, &serial)
		return err
	})
	r.over, err = send(ctx, "overload", proxy.URL, int(o.capacity()*o.times), o.duration, 2*o.work, &serial)
	samples, memoryErr := watch()
	if err := errors.Join(err, memoryErr, calmed.Wait()); err != nil {
		return r, err
	}
	r.memory = samples
	all, err := queueWaits(ctx, proxy)
	if err != nil {
		return r, err
	}
	r.waits = all.since(waited)
	r.most = origin.most.Load()
	return r, nil
}
