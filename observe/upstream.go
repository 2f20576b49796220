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
	// by class; Response makes rare ones when they occur
	responses [classes]atomic.Pointer[prometheus.Counter]
}

// Upstream returns the metrics of an upstream, the same for the same name.
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
		u.count(c) // from zero, so that the first increment is visible
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

// Request counts one request to the origin for a route. why is the reason that no copy could answer.
func (u *UpstreamMetrics) Request(route string, why policy.Reason) {
	u.asked.Add(1)
	m := u.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.upstreams[u.name] == u && m.routes[route] != nil {
		m.originRequests.WithLabelValues(u.name, route, why.String()).Inc()
	}
}

// Read counts one read that the origin would get without copies.
func (u *UpstreamMetrics) Read() { u.reads.Add(1) }

// Load is the number of reads that the origin would get without copies, and the number of requests sent to the origin,
// both since the start.
func (u *UpstreamMetrics) Load() (reads, asked uint64) { return u.reads.Load(), u.asked.Load() }

// Answered observes the origin's time to the head of its answer, or to its failure.
func (u *UpstreamMetrics) Answered(took time.Duration) { u.seconds.Observe(took.Seconds()) }

// Response counts one answer of the origin.
func (u *UpstreamMetrics) Response(status int) {
	c := classOf(status)
	counter := u.responses[c].Load()
	if counter == nil {
		u.metrics.mu.Lock()
		if u.metrics.upstreams[u.name] == u { // a removed upstream's series must not come back
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

// Completed observes the origin's time to the last byte of an answer.
func (u *UpstreamMetrics) Completed(took time.Duration) { u.whole.Observe(took.Seconds()) }

// Waited observes how long a request waited for a place at the origin, whether or not the request got a place.
func (u *UpstreamMetrics) Waited(d time.Duration) { u.queue.Observe(d.Seconds()) }

// Shed counts one request that was refused because the origin had no place.
func (u *UpstreamMetrics) Shed() { u.shed.Inc() }
