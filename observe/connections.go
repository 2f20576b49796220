package observe

// ConnectionGauges are the numbers of clients' connections at the data listener: open, at work, the limit, and
// connections closed since the start, by reason.
type ConnectionGauges struct {
	Open, AtWork, Limit                                             int
	Reclaimed, Refused, Stalled, Flooding, Unintroduced, Headerless uint64
}

// SetConnections registers the connections. Each scrape calls read, which must be safe for concurrent use.
// SetConnections may be called once.
func (m *Metrics) SetConnections(read func() ConnectionGauges) {
	m.registry.MustRegister(readings(func(tell reading) {
		n := read()
		tell(gauge, "connections_limit", "Connections of clients that may be open.", float64(n.Limit))
		for state, count := range map[string]int{"waiting": n.Open - n.AtWork, "at_work": n.AtWork} {
			tell(gauge, "connections", "Connections of clients, by state: waiting for a request, or at work.", float64(count), "state", state)
		}
		for reason, count := range map[string]uint64{"reclaimed": n.Reclaimed, "per_client": n.Refused, "stalled": n.Stalled, "resets": n.Flooding, "proxy_header": n.Unintroduced, "headers": n.Headerless} {
			tell(counter, "connections_closed_total", "Connections of clients that were closed to protect the others, by reason.", float64(count), "reason", reason)
		}
	}))
}
