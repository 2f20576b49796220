package observe

import "github.com/prometheus/client_golang/prometheus"

// RemoveRoute removes every series of a route that the configuration no longer has. Requests of the route that still
// run are not counted: their counts would bring back series that nothing removes.
func (m *Metrics) RemoveRoute(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.routes, name)
	m.removeSeries("route", name)
}

// RemoveUpstream removes every series of an upstream that the configuration no longer has, as RemoveRoute does.
func (m *Metrics) RemoveUpstream(name string) {
	m.mu.Lock()
	delete(m.upstreams, name)
	m.removeSeries("upstream", name)
	m.mu.Unlock()
	m.held.mu.Lock()
	defer m.held.mu.Unlock()
	delete(m.held.upstreams, name)
}

// removeSeries removes the series with a label's value from every metric that has the label. The caller holds m.mu:
// series of routes and upstreams are only made under m.mu, so none can come back meanwhile.
func (m *Metrics) removeSeries(label, value string) {
	for _, vec := range m.labelled {
		vec.DeletePartialMatch(prometheus.Labels{label: value})
	}
}

// labelled is a metric with labels, of any type.
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
