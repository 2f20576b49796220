package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/test/system/bench"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// most bounds the load generator's requests under way: enough for the requests that the proxy lets wait, and many more
// for those refused at once.
const most = 2000

// load is requests at a steady rate, however long answers take.
type load struct {
	name    string
	offered float64         // requests per second
	served  []time.Duration // latencies of answers with 200, sorted
	shed    []time.Duration // latencies of answers with 503, sorted
	first   []time.Duration // latencies of the requests of the first second, sorted
	reasons map[string]int  // of shed requests, by the detail of Cache-Status
	others  map[string]int  // other results, by status or error
	bare    int             // 503 without Retry-After
	elapsed time.Duration   // while requests were sent
	slow    time.Duration   // from the first request to the last that took longer than patient
}

// send requests a new URL each time.
func send(ctx context.Context, name, base string, rate int, d, patient time.Duration, serial *atomic.Int64) (load, error) {
	targets := func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, fmt.Sprintf("%s/%d", base, serial.Add(1))
		return nil
	}
	l := load{name: name, reasons: map[string]int{}, others: map[string]int{}}
	var begin, last time.Time
	requests := 0
	bench.Attack{Targets: targets, Pacer: bench.EverySecond(rate), For: d, Workers: 256, Most: most}.Run(ctx, func(result *vegeta.Result) {
		if begin.IsZero() || result.Timestamp.Before(begin) {
			begin = result.Timestamp
		}
		if result.Timestamp.After(last) {
			last = result.Timestamp
		}
		requests++
		if result.Timestamp.Sub(begin) < time.Second {
			l.first = append(l.first, result.Latency)
		}
		if result.Latency > patient {
			l.slow = max(l.slow, result.Timestamp.Sub(begin))
		}
		l.count(result)
	})
	if err := ctx.Err(); err != nil {
		return load{}, fmt.Errorf("send load: %w", err)
	}
	if requests < 2 {
		return load{}, fmt.Errorf("send load: %d requests in %v", requests, d)
	}
	l.elapsed = last.Sub(begin)
	l.offered = float64(requests-1) / l.elapsed.Seconds()
	slices.Sort(l.served)
	slices.Sort(l.shed)
	slices.Sort(l.first)
	return l, nil
}

func (l *load) count(result *vegeta.Result) {
	switch result.Code {
	case http.StatusOK:
		l.served = append(l.served, result.Latency)
	case http.StatusServiceUnavailable:
		l.shed = append(l.shed, result.Latency)
		_, detail, _ := strings.Cut(result.Headers.Get("Cache-Status"), "detail=")
		l.reasons[detail]++
		if result.Headers.Get("Retry-After") == "" {
			l.bare++
		}
	case 0:
		l.others[result.Error]++
	default:
		l.others[fmt.Sprint(result.Code)]++
	}
}
