package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// settle is how long connections are opened before requests count.
const settle = 500 * time.Millisecond

// latency is the distribution of the time from a request's due time to its answer. Zeros: no answers.
type latency struct {
	Requests int           `json:"requests"`
	Failed   int           `json:"failed"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`
	Longest  time.Duration `json:"longest_ns"`
}

// timed is one request: its due time, from the beginning, and the time from there to its answer.
type timed struct {
	due, took time.Duration
	failed    bool
}

// summarize leaves out requests that were due within skip.
func summarize(requests []timed, skip time.Duration) latency {
	var l latency
	var took []time.Duration
	for _, r := range requests {
		if r.due < skip {
			continue
		}
		l.Requests++
		if r.failed {
			l.Failed++
			continue
		}
		took = append(took, r.took)
	}
	slices.Sort(took)
	l.P50, l.P99, l.P999, l.Longest = perMille(took, 500), perMille(took, 990), perMille(took, 999), perMille(took, 1000)
	return l
}

// perMille is the smallest of the sorted values that p in a thousand of them do not exceed.
func perMille(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+999)/1000-1)]
}

// runPaced sends requests of a material at a steady rate. runPaced fails where more than one request in a thousand
// fails.
func runPaced(ctx context.Context, m material, address, prefix string, rate int, duration time.Duration) (latency, error) {
	all, err := paced(ctx, address, m.requests(prefix), rate, int((duration+settle).Seconds()*float64(rate)))
	if err != nil {
		return latency{}, fmt.Errorf("send at a steady rate: %w", err)
	}
	l := summarize(all, settle)
	if l.Failed*1000 > l.Requests {
		return l, fmt.Errorf("send at a steady rate: %d of %d requests failed", l.Failed, l.Requests)
	}
	return l, nil
}

// paced hands a request to any free connection whenever a request is due. The time of an answer begins there: a request
// that waits because the server keeps all connections busy has waited for the server (coordinated omission). A late
// wake-up of this process is not the server's fault and does not count.
func paced(ctx context.Context, address string, request func(int) exchange, rate, requests int) ([]timed, error) {
	type due struct {
		number int
		handed time.Time
	}
	all, work := make([]timed, requests), make(chan due, requests)
	var connections errgroup.Group
	for range usualConnections {
		w, err := dial(ctx, address, false)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		connections.Go(func() error {
			for d := range work {
				one := request(d.number)
				status, err := w.quick(one.path, one.head)
				r := &all[d.number]
				r.took, r.failed = time.Since(d.handed), err != nil || status != http.StatusOK
				if err != nil {
					// Bytes received so far must not be taken for the next answer.
					if w, err = redial(ctx, w, address); err != nil {
						return err
					}
				}
			}
			return w.close()
		})
	}
	began := time.Now()
	for i := range requests {
		all[i].due = time.Duration(float64(i) / float64(rate) * float64(time.Second))
		if early := time.Until(began.Add(all[i].due)); early > 0 {
			time.Sleep(early)
		}
		work <- due{i, time.Now()}
	}
	close(work)
	return all, connections.Wait()
}

func redial(ctx context.Context, w *wire, address string) (*wire, error) {
	if err := w.close(); err != nil {
		return nil, fmt.Errorf("connect again: %w", err)
	}
	again, err := dial(ctx, address, false)
	if err != nil {
		return nil, fmt.Errorf("connect again: %w", err)
	}
	return again, nil
}

// requests returns a func for the request with a number.
func (m material) requests(prefix string) func(int) exchange {
	return func(i int) exchange {
		path := m.allPaths[i%len(m.allPaths)]
		if path == unique {
			path = prefix + strconv.Itoa(i)
		}
		return exchange{path, m.allHeads[i%len(m.allHeads)]}
	}
}
