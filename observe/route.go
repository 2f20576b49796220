package observe

import (
	"sync/atomic"
	"time"

	"cacheproxy/policy"

	"github.com/prometheus/client_golang/prometheus"
)

// RouteMetrics are the metrics of one route. Their counters are looked up once, so that counting a request needs no
// lookup. All methods are safe for concurrent use.
type RouteMetrics struct {
	name    string
	metrics *Metrics
	// by outcome and class; Observe makes unexpected ones at the first request
	requests [][classes]atomic.Pointer[prometheus.Counter]
	// by outcome; made at the first request, since most routes see few outcomes and each histogram is twenty series
	seconds   []atomic.Pointer[prometheus.Observer]
	bytes     prometheus.Counter
	coalesced prometheus.Counter
	missed    prometheus.Counter

	unconfirmed prometheus.Counter

	preferences preferences

	names map[string]*sketch // names that sent requests past the cache, by kind; the map does not change
}

// Route returns the metrics of a route, the same for the same name. The counters begin at zero, so that the first
// increment is visible.
func (m *Metrics) Route(name string) *RouteMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.routes[name]; r != nil {
		return r
	}
	all := policy.Outcomes()
	r := &RouteMetrics{
		name: name, metrics: m,
		requests:  make([][classes]atomic.Pointer[prometheus.Counter], len(all)),
		seconds:   make([]atomic.Pointer[prometheus.Observer], len(all)),
		bytes:     m.bytes.WithLabelValues(name),
		coalesced: m.coalesced.WithLabelValues(name),
		missed:    m.missed.WithLabelValues(name),

		unconfirmed: m.unconfirmed.WithLabelValues(name),
		names:       map[string]*sketch{KindHeader: {}, KindQuery: {}, KindCookie: {}},
	}
	for _, o := range all {
		for _, c := range expected(o) {
			r.count(o, c)
		}
	}
	m.observedSaved.WithLabelValues(name)
	m.observedOrigin.WithLabelValues(name)
	m.observedCookies.WithLabelValues(name)
	m.routes[name] = r
	return r
}

// count makes the counter of an outcome and a class. The caller holds the lock of the metrics.
func (r *RouteMetrics) count(o policy.Outcome, c class) *prometheus.Counter {
	counter := r.metrics.requests.WithLabelValues(r.name, o.String(), c.String())
	r.requests[o][c].Store(&counter)
	return &counter
}

// Answer is the result of a request.
type Answer struct {
	Outcome policy.Outcome
	Status  int   // 0: no answer
	Bytes   int64 // of the answer's content, to the client
	Took    time.Duration
}

// Observe counts one answered request.
func (r *RouteMetrics) Observe(a Answer) {
	o, c := a.Outcome, classOf(a.Status)
	counter := r.requests[o][c].Load()
	if counter == nil {
		r.unlessRemoved(func() { counter = r.count(o, c) })
		if counter == nil {
			return
		}
	}
	(*counter).Inc()
	r.bytes.Add(float64(a.Bytes))
	bound := r.seconds[o].Load()
	if bound == nil {
		if bound = r.bind(o); bound == nil {
			return
		}
	}
	(*bound).Observe(a.Took.Seconds())
}

// bind makes the histogram of an outcome; nil: the route was removed.
func (r *RouteMetrics) bind(o policy.Outcome) (bound *prometheus.Observer) {
	r.unlessRemoved(func() {
		h := r.metrics.requestSeconds.WithLabelValues(r.name, o.String())
		bound = &h
		r.seconds[o].Store(bound)
	})
	return bound
}

// Coalesced counts one request that shared another request's fetch.
func (r *RouteMetrics) Coalesced() { r.coalesced.Inc() }

// Observed counts the origin's time for one request of an observed route. saved: a copy would have given the same
// answer.
func (r *RouteMetrics) Observed(took time.Duration, saved bool) {
	r.unlessRemoved(func() {
		r.metrics.observedOrigin.WithLabelValues(r.name).Add(took.Seconds())
		counter := r.metrics.observedSaved.WithLabelValues(r.name)
		if saved {
			counter.Add(took.Seconds())
		}
	})
}

// CookiesWithheld counts an answer on an observed route with cookies that its client would not have got.
func (r *RouteMetrics) CookiesWithheld() {
	r.unlessRemoved(func() { r.metrics.observedCookies.WithLabelValues(r.name).Inc() })
}

// NotStored counts one answer that was not stored.
func (r *RouteMetrics) NotStored(why policy.Reason) {
	r.unlessRemoved(func() { r.metrics.notStored.WithLabelValues(r.name, why.String()).Inc() })
}

// ChangedWithoutInvalidation counts one refill after expiry that differed although nothing was invalidated.
func (r *RouteMetrics) ChangedWithoutInvalidation() { r.missed.Inc() }

// AwaitsTurn counts one write that waits for other writes of its key, until over is called.
func (r *RouteMetrics) AwaitsTurn() (over func(refused bool)) {
	var waiting prometheus.Gauge
	var turnedAway prometheus.Counter
	r.unlessRemoved(func() {
		waiting, turnedAway = r.metrics.turnsWaiting.WithLabelValues(r.name), r.metrics.turnsRefused.WithLabelValues(r.name)
	})
	if waiting == nil {
		return func(bool) {}
	}
	waiting.Inc()
	return func(refused bool) {
		waiting.Dec()
		if refused {
			turnedAway.Inc()
		}
	}
}

// WriteNotConfirmed counts one write that was answered although its invalidation was not confirmed.
func (r *RouteMetrics) WriteNotConfirmed() { r.unconfirmed.Inc() }
