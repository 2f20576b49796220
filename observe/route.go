package observe

import (
	"sync/atomic"
	"time"

	"cacheproxy/policy"

	"github.com/prometheus/client_golang/prometheus"
)

// RouteMetrics are the metrics of one route, looked up once so that counting a request does not have to. All methods are
// safe for concurrent use.
type RouteMetrics struct {
	name    string
	metrics *Metrics
	// by outcome
	requests []prometheus.Counter
	// by outcome; bound at the first request, since most routes see few of the outcomes and each histogram is twenty series
	seconds   []atomic.Pointer[prometheus.Observer]
	coalesced prometheus.Counter
	missed    prometheus.Counter

	unconfirmed prometheus.Counter
}

// Route gives the metrics of a route, the same for the same name. Its counters start at zero, so that the first
// increment is seen as one.
func (m *Metrics) Route(name string) *RouteMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.routes[name]; r != nil {
		return r
	}
	all := policy.Outcomes()
	r := &RouteMetrics{
		name: name, metrics: m,
		requests:  make([]prometheus.Counter, len(all)),
		seconds:   make([]atomic.Pointer[prometheus.Observer], len(all)),
		coalesced: m.coalesced.WithLabelValues(name),
		missed:    m.missed.WithLabelValues(name),

		unconfirmed: m.unconfirmed.WithLabelValues(name),
	}
	for _, o := range all {
		r.requests[o] = m.requests.WithLabelValues(name, o.String())
	}
	m.observedSaved.WithLabelValues(name)
	m.observedOrigin.WithLabelValues(name)
	m.routes[name] = r
	return r
}

// Observe counts one answered request.
func (r *RouteMetrics) Observe(o policy.Outcome, took time.Duration) {
	r.requests[o].Inc()
	bound := r.seconds[o].Load()
	if bound == nil {
		if bound = r.bind(o); bound == nil {
			return
		}
	}
	(*bound).Observe(took.Seconds())
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

// Coalesced counts one request that shared another's fetch.
func (r *RouteMetrics) Coalesced() { r.coalesced.Inc() }

// Observed counts the time of the origin for one request of an observed route; saved says that a copy would have given the
// same answer.
func (r *RouteMetrics) Observed(took time.Duration, saved bool) {
	r.unlessRemoved(func() {
		r.metrics.observedOrigin.WithLabelValues(r.name).Add(took.Seconds())
		counter := r.metrics.observedSaved.WithLabelValues(r.name)
		if saved {
			counter.Add(took.Seconds())
		}
	})
}

// NotStored counts one answer that was not stored.
func (r *RouteMetrics) NotStored(why policy.Reason) {
	r.unlessRemoved(func() { r.metrics.notStored.WithLabelValues(r.name, why.String()).Inc() })
}

// ChangedWithoutInvalidation counts one refill after expiry that differed although nothing was invalidated.
func (r *RouteMetrics) ChangedWithoutInvalidation() { r.missed.Inc() }

// WriteNotConfirmed counts one write whose answer went out although its invalidation was not confirmed.
func (r *RouteMetrics) WriteNotConfirmed() { r.unconfirmed.Inc() }
