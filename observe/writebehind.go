package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// flushBuckets in seconds: from an origin's answer time to the age of a queue that waits through a night.
var flushBuckets = []float64{5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 43200}

// QueuedWrites is the state of the queue of writes. All instances share the queue, so each tells the same values.
type QueuedWrites struct {
	Depth  map[string]int // writes that are not done, by route
	Oldest time.Duration  // since the oldest of them was accepted
	Dead   int            // writes that wait for an operator's decision
}

// WriteBehind counts an instance's operations on the queue of writes. WriteBehind is safe for concurrent use.
type WriteBehind struct {
	flush   *prometheus.HistogramVec
	retries *prometheus.CounterVec
	dead    *prometheus.CounterVec
}

// WriteBehind makes the metrics of the queue of writes. Each scrape calls read, which must be safe for concurrent use.
// WriteBehind may be called once.
func (m *Metrics) WriteBehind(read func() *QueuedWrites) *WriteBehind {
	w := &WriteBehind{
		flush:   histograms("write_behind_flush_seconds", "Time from the acceptance of a queued write to when it was done.", flushBuckets, "route"),
		retries: counters("write_behind_retries_total", "Tries of queued writes that are to be made again.", "route"),
		dead:    counters("write_behind_dead_letters_total", "Queued writes that have come to wait for somebody to decide.", "route"),
	}
	m.register(w.flush, w.retries, w.dead, readings(func(tell reading) {
		q := read()
		for route, n := range q.Depth {
			tell(gauge, "write_behind_queued", "Accepted writes that are not done, of all instances.", float64(n), "route", route)
		}
		tell(gauge, "write_behind_oldest_seconds", "Time since the oldest accepted write that waits, or blocks its key, was accepted or told to be tried again, 0 where there is none.", q.Oldest.Seconds())
		tell(gauge, "write_behind_dead_letters", "Accepted writes that wait for somebody to decide, of all instances.", float64(q.Dead))
	}))
	return w
}

// Route begins the counters of a route at zero, so that the first increment is visible.
func (w *WriteBehind) Route(route string) {
	w.retries.WithLabelValues(route)
	w.dead.WithLabelValues(route)
}

// Done counts a write that is done, and observes the time since its acceptance.
func (w *WriteBehind) Done(route string, took time.Duration) {
	w.flush.WithLabelValues(route).Observe(took.Seconds())
}

// Retry counts a failed try that will be repeated.
func (w *WriteBehind) Retry(route string) { w.retries.WithLabelValues(route).Inc() }

// Dead counts a write that has begun to wait for an operator's decision.
func (w *WriteBehind) Dead(route string) { w.dead.WithLabelValues(route).Inc() }
