package observe

import "github.com/prometheus/client_golang/prometheus"

// RemoveRoute takes away every series of a route that the configuration no longer has. Requests of it that are still under
// way are counted nowhere: their counts would come back as series that nobody removes.
func (m *Metrics) RemoveRoute(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.routes, name)
	m.removeSeries("route", name)
}

// RemoveUpstream takes away every series of an upstream that the configuration no longer has, as RemoveRoute does.
func (m *Metrics) RemoveUpstream(name string) {
	m.mu.Lock()
	delete(m.upstreams, name)
	m.removeSeries("upstream", name)
	m.mu.Unlock()
	m.held.mu.Lock()
	defer m.held.mu.Unlock()
	delete(m.held.upstreams, name)
}

// removeSeries takes away the series with a label's value from every metric that has the label. The caller holds m.mu,
// under which alone series of routes and upstreams are made.
func (m *Metrics) removeSeries(label, value string) {
	for _, vec := range m.labelled {
		vec.DeletePartialMatch(prometheus.Labels{label: value})
	}
}

// labelled is a metric with labels, of whatever type.
type labelled interface {
	DeletePartialMatch(prometheus.Labels) int
}

// unlessRemoved runs f, which makes a series of the route, unless the route was removed.
func (r *RouteMetrics) unlessRemoved(f func()) {
	r.metrics.mu.Lock()
	defer r.metrics.mu.Unlock()
	if r.metrics.routes[r.name] == r {
		f()
	}
}
