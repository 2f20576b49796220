package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"cacheproxy/test/system/bench"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// traffic is the result of one load.
type traffic struct {
	requests      int
	failed        int            // other than 200
	failures      map[string]int // by what went wrong
	rate          float64        // answers with 200 per second
	elapsed       time.Duration
	hits          int // by the response's Cache-Status
	p50, p95, p99 time.Duration
}

// reader requests products, drawn from a popularity.
type reader struct {
	popularity bench.Zipf
	stock      bool    // requests the stock of products instead
	writes     float64 // with stock: the share of requests that set it

	mu     sync.Mutex // guards random
	random *rand.Rand
}

func newReader(z bench.Zipf, seed uint64) *reader {
	return &reader{popularity: z, random: rand.New(rand.NewPCG(seed, seed))}
}

func (r *reader) targets(base string) vegeta.Targeter {
	return func(t *vegeta.Target) error {
		r.mu.Lock()
		id, onHand, writes := r.popularity.Draw(r.random), r.random.IntN(1000), r.random.Float64() < r.writes
		r.mu.Unlock()
		if r.stock {
			t.Method, t.URL = http.MethodGet, fmt.Sprintf("%s/inventory/P%07d", base, id)
			if writes {
				t.Method, t.Body, t.Header = http.MethodPut, fmt.Appendf(nil, `{"on_hand":%d}`, onHand), http.Header{"Content-Type": {"application/json"}}
			}
			return nil
		}
		t.Method, t.URL = http.MethodGet, fmt.Sprintf("%s/products/%d", base, id)
		return nil
	}
}

// steady sends rate requests per second, however long answers take.
func (r *reader) steady(ctx context.Context, base string, rate int, d time.Duration) (traffic, error) {
	return r.attack(ctx, base, bench.EverySecond(rate), d, 64, 2000)
}

// flatOut sends the next request as soon as one of the clients has its answer.
func (r *reader) flatOut(ctx context.Context, base string, clients uint64, d time.Duration) (traffic, error) {
	return r.attack(ctx, base, vegeta.ConstantPacer{}, d, clients, clients)
}

func (r *reader) attack(ctx context.Context, base string, pacer vegeta.Pacer, d time.Duration, workers, most uint64) (traffic, error) {
	started := time.Now()
	t := traffic{failures: map[string]int{}}
	var latencies []time.Duration
	bench.Attack{Targets: r.targets(base), Pacer: pacer, For: d, Workers: workers, Most: most}.Run(ctx, func(result *vegeta.Result) {
		t.requests++
		latencies = append(latencies, result.Latency)
		if result.Code != http.StatusOK {
			t.failed++
			t.failures[result.Error]++
		}
		if strings.Contains(result.Headers.Get("Cache-Status"), "; hit") {
			t.hits++
		}
	})
	t.elapsed = time.Since(started)
	if err := ctx.Err(); err != nil {
		return traffic{}, fmt.Errorf("send load: %w", err)
	}
	if t.requests == 0 {
		return traffic{}, fmt.Errorf("send load: no request was sent in %v", d)
	}
	t.rate = float64(t.requests-t.failed) / t.elapsed.Seconds()
	slices.Sort(latencies)
	t.p50, t.p95, t.p99 = bench.Percentile(latencies, 50), bench.Percentile(latencies, 95), bench.Percentile(latencies, 99)
	return t, nil
}
