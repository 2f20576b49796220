package main

import (
	"context"
	"errors"
	"math"
	"time"

	"cacheproxy/test/servers"
)

// histogram is cacheproxy_origin_queue_seconds: the number of requests with at most each wait, in the order of the
// bounds. A negative bound, the last, stands for any wait.
type histogram []bucket

type bucket struct {
	most  time.Duration
	count int64
}

func queueWaits(ctx context.Context, proxy *servers.Cacheproxy) (h histogram, err error) {
	all, err := proxy.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range all["cacheproxy_origin_queue_seconds"].GetMetric() {
		for _, b := range m.Histogram.Bucket {
			most := time.Duration(-1)
			if !math.IsInf(b.GetUpperBound(), 1) {
				most = time.Duration(b.GetUpperBound() * float64(time.Second))
			}
			h = append(h, bucket{most, int64(b.GetCumulativeCount())})
		}
	}
	if len(h) == 0 {
		return nil, errors.New("read metrics: there is no cacheproxy_origin_queue_seconds")
	}
	return h, nil
}

// since is the counts since before.
func (h histogram) since(before histogram) histogram {
	grown := make(histogram, len(h))
	for i, b := range h {
		grown[i] = bucket{b.most, b.count - before[i].count}
	}
	return grown
}
