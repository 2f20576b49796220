package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// most is how many requests the load generator may have under way: what the
// proxy lets wait, and plenty more for what it refuses at once.
const most = 2000

// load is requests sent at a steady rate, however long answers take.
type load struct {
	offered float64         // requests per second
	served  []time.Duration // latencies of answers with 200, sorted
	shed    []time.Duration // latencies of answers with 503, sorted
	first   []time.Duration // latencies of the requests of the first second, sorted
	reasons map[string]int  // of what was shed, by the detail of Cache-Status
	others  map[string]int  // any other end, by what it was
	bare    int             // 503 without Retry-After
	elapsed time.Duration   // while requests were sent
	slow    time.Duration   // from the first request to the last that took longer than patient
}

// send asks for a URL of its own with every request.
func send(ctx context.Context, base string, rate int, d, patient time.Duration, serial *atomic.Int64) (load, error) {
	transport := &http.Transport{MaxIdleConns: most, MaxIdleConnsPerHost: most, DisableCompression: true}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.Workers(256), vegeta.MaxWorkers(most), vegeta.MaxBody(0),
		vegeta.Client(&http.Client{Transport: transport, Timeout: 10 * time.Second}))
	unwatch := context.AfterFunc(ctx, func() { attacker.Stop() })
	defer unwatch()
	targets := func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, fmt.Sprintf("%s/%d", base, serial.Add(1))
		return nil
	}
	l := load{reasons: map[string]int{}, others: map[string]int{}}
	var begin, last time.Time
	requests := 0
	for result := range attacker.Attack(targets, vegeta.ConstantPacer{Freq: rate, Per: time.Second}, d, "") {
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
	}
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

// percentile is the smallest of the sorted values that p percent of them do
// not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
