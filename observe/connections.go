package observe

import "github.com/prometheus/client_golang/prometheus"

// ConnectionGauges are the numbers of clients' connections at the data listener: how many are open and how many of these
// are at work, and how many were closed since the start and why.
type ConnectionGauges struct {
	Open, AtWork                          int
	Reclaimed, Refused, Stalled, Flooding uint64
}

// SetConnections makes the connections known. read is called at each scrape and must be safe for concurrent use. It may be
// called once.
func (m *Metrics) SetConnections(read func() ConnectionGauges) {
	m.registry.MustRegister(&connections{
		read:   read,
		open:   prometheus.NewDesc(namespace+"_connections", "Connections of clients, by state: waiting for a request, or at work.", []string{"state"}, nil),
		closed: prometheus.NewDesc(namespace+"_connections_closed_total", "Connections of clients that were closed to protect the others, by reason.", []string{"reason"}, nil),
	})
}

// connections collects ConnectionGauges.
type connections struct {
	read         func() ConnectionGauges
	open, closed *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *connections) Describe(to chan<- *prometheus.Desc) {
	to <- c.open
	to <- c.closed
}

// Collect implements prometheus.Collector.
func (c *connections) Collect(to chan<- prometheus.Metric) {
	n := c.read()
	for state, count := range map[string]int{"waiting": n.Open - n.AtWork, "at_work": n.AtWork} {
		to <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, float64(count), state)
	}
	for reason, count := range map[string]uint64{"reclaimed": n.Reclaimed, "per_client": n.Refused, "stalled": n.Stalled, "resets": n.Flooding} {
		to <- prometheus.MustNewConstMetric(c.closed, prometheus.CounterValue, float64(count), reason)
	}
}
