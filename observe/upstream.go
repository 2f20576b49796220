package observe

import (
	"sync/atomic"
	"time"

	"cacheproxy/policy"

	"github.com/prometheus/client_golang/prometheus"
)

// UpstreamMetrics are the metrics of one upstream. All methods are safe for concurrent use.
type UpstreamMetrics struct {
	name    string
	metrics *Metrics
	seconds prometheus.Observer
	whole   prometheus.Observer
	queue   prometheus.Observer
	shed    prometheus.Counter
	reads   atomic.Uint64
	asked   atomic.Uint64
	bytes   prometheus.Counter
	// by class; those that seldom come are bound when they do
	responses [classes]atomic.Pointer[prometheus.Counter]
}

// Upstream gives the metrics of an upstream, the same for the same name.
func (m *Metrics) Upstream(name string) *UpstreamMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.upstreams[name]; u != nil {
		return u
	}
	u := &UpstreamMetrics{
		name: name, metrics: m,
		seconds: m.originSeconds.WithLabelValues(name),
		whole:   m.originWhole.WithLabelValues(name),
		queue:   m.queueSeconds.WithLabelValues(name),
		shed:    m.shed.WithLabelValues(name),
		bytes:   m.originBytes.WithLabelValues(name),
	}
	for c := successful; c < classes; c++ {
		u.count(c) // from zero, so that the first of each is seen as one
	}
	m.upstreams[name] = u
	return u
}

// count makes the counter of a class. The caller holds the lock of the metrics.
func (u *UpstreamMetrics) count(c class) *prometheus.Counter {
	counter := u.metrics.originResponses.WithLabelValues(u.name, c.String())
	u.responses[c].Store(&counter)
	return &counter
}

// Request counts one request sent to the origin for a route, and why no copy could answer.
func (u *UpstreamMetrics) Request(route string, why policy.Reason) {
	u.asked.Add(1)
	m := u.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.upstreams[u.name] == u && m.routes[route] != nil {
		m.originRequests.WithLabelValues(u.name, route, why.String()).Inc()
	}
}

// Read counts one read that the origin would get if there were no copies.
func (u *UpstreamMetrics) Read() { u.reads.Add(1) }

// Load is how many reads there were that the origin would get if there were no copies, and how many requests were sent to it, both since the
// start.
func (u *UpstreamMetrics) Load() (reads, asked uint64) { return u.reads.Load(), u.asked.Load() }

// Answered tells how long the origin took to the head of its answer, or to its failure.
func (u *UpstreamMetrics) Answered(took time.Duration) { u.seconds.Observe(took.Seconds()) }

// Response counts one answer of the origin.
func (u *UpstreamMetrics) Response(status int) {
	c := classOf(status)
	counter := u.responses[c].Load()
	if counter == nil {
		u.metrics.mu.Lock()
		if u.metrics.upstreams[u.name] == u { // else it was removed, and would come back
			counter = u.count(c)
		}
		u.metrics.mu.Unlock()
	}
	if counter != nil {
		(*counter).Inc()
	}
}

// Received counts bytes of content that came from the origin.
func (u *UpstreamMetrics) Received(bytes int) { u.bytes.Add(float64(bytes)) }

// Completed tells how long the origin took to the last byte of an answer.
func (u *UpstreamMetrics) Completed(took time.Duration) { u.whole.Observe(took.Seconds()) }

// Waited tells how long a request waited for a place at the origin, whether or not it got it.
func (u *UpstreamMetrics) Waited(d time.Duration) { u.queue.Observe(d.Seconds()) }

// Shed counts one request refused for want of a place at the origin.
func (u *UpstreamMetrics) Shed() { u.shed.Inc() }
