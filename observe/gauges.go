package observe

import (
	"cacheproxy/lockorder"

	"github.com/prometheus/client_golang/prometheus"
)

// UpstreamGauges are read when metrics are scraped. Every func must be safe for concurrent use; those that may be nil are
// then not shown.
type UpstreamGauges struct {
	InFlight func() int                                    // requests that the origin is working on
	Streams  func() int                                    // upgrades, event streams and gRPC calls that are open; may be nil
	Queued   func() int                                    // requests waiting for a place
	Retries  func() uint64                                 // requests that went on to another address, since the start; may be nil
	Health   func(tell func(address string, healthy bool)) // of every address; may be nil
}

// TierGauges are read when metrics are scraped. Every func must be set and safe for concurrent use.
type TierGauges struct {
	Bytes     func() int64
	Entries   func() int64
	Evictions func() uint64 // since the start; copies that had to go for want of room
}

// SetUpstream makes an upstream's gauges known, in place of earlier ones under the same name.
func (m *Metrics) SetUpstream(name string, g UpstreamGauges) {
	m.gauges.mu.Lock()
	defer m.gauges.mu.Unlock()
	m.gauges.upstreams[name] = g
}

// SetTier makes a store tier's gauges known, in place of earlier ones under the same name.
func (m *Metrics) SetTier(name string, g TierGauges) {
	m.gauges.mu.Lock()
	defer m.gauges.mu.Unlock()
	m.gauges.tiers[name] = g
}

// gauges collects what others hold. Unlike prometheus.GaugeFunc it lets them come and go with the configuration.
type gauges struct {
	inFlight, streams, queued *prometheus.Desc
	retries, healthy          *prometheus.Desc
	bytes, entries, evictions *prometheus.Desc

	mu        lockorder.Mutex[lockorder.Gauges]
	upstreams map[string]UpstreamGauges
	tiers     map[string]TierGauges
}

func newGauges() *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &gauges{
		inFlight:  desc("origin_in_flight", "Requests that an origin is working on.", "upstream"),
		streams:   desc("origin_streams", "Upgrades, event streams and gRPC calls that are open at an origin.", "upstream"),
		queued:    desc("origin_queued", "Requests waiting for a place at an origin.", "upstream"),
		retries:   desc("retries_total", "Requests that went on to another address of an origin because one could not be reached, or out once more because a kept connection was lost.", "upstream"),
		healthy:   desc("upstream_healthy", "1 when nothing speaks against an address of an origin, else 0.", "upstream", "address"),
		bytes:     desc("store_bytes", "Bytes held by a tier of the store.", "tier"),
		entries:   desc("store_entries", "Copies held by a tier of the store.", "tier"),
		evictions: desc("evictions_total", "Copies that a tier of the store gave up for want of room.", "tier"),
		upstreams: map[string]UpstreamGauges{},
		tiers:     map[string]TierGauges{},
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.inFlight, g.streams, g.queued, g.retries, g.healthy, g.bytes, g.entries, g.evictions} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	emit := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	for name, u := range g.upstreams {
		emit(g.inFlight, prometheus.GaugeValue, float64(u.InFlight()), name)
		emit(g.queued, prometheus.GaugeValue, float64(u.Queued()), name)
		if u.Streams != nil {
			emit(g.streams, prometheus.GaugeValue, float64(u.Streams()), name)
		}
		if u.Retries != nil {
			emit(g.retries, prometheus.CounterValue, float64(u.Retries()), name)
		}
		if u.Health != nil {
			u.Health(func(address string, healthy bool) {
				value := 0.0
				if healthy {
					value = 1
				}
				emit(g.healthy, prometheus.GaugeValue, value, name, address)
			})
		}
	}
	for name, t := range g.tiers {
		emit(g.bytes, prometheus.GaugeValue, float64(t.Bytes()), name)
		emit(g.entries, prometheus.GaugeValue, float64(t.Entries()), name)
		emit(g.evictions, prometheus.CounterValue, float64(t.Evictions()), name)
	}
}
