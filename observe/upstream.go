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
	queue   prometheus.Observer
	shed    prometheus.Counter
	reads   atomic.Uint64
	asked   atomic.Uint64
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
		queue:   m.queueSeconds.WithLabelValues(name),
		shed:    m.shed.WithLabelValues(name),
	}
	m.upstreams[name] = u
	return u
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

// Answered tells how long the origin took to the head of its answer.
func (u *UpstreamMetrics) Answered(took time.Duration) { u.seconds.Observe(took.Seconds()) }

// Waited tells how long a request waited for a place at the origin, whether or not it got it.
func (u *UpstreamMetrics) Waited(d time.Duration) { u.queue.Observe(d.Seconds()) }

// Shed counts one request refused for want of a place at the origin.
func (u *UpstreamMetrics) Shed() { u.shed.Inc() }
