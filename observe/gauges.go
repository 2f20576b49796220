package observe

import (
	"cacheproxy/lockorder"

	"github.com/prometheus/client_golang/prometheus"
)

// UpstreamGauges are read at each scrape. Every func must be set and safe for concurrent use.
type UpstreamGauges struct {
	InFlight  func() int    // requests that the origin is working on
	Peak      func() int    // maximum of InFlight since the start
	Streams   func() int    // upgrades, event streams and gRPC calls that are open
	Queued    func() int    // requests waiting for a place
	WouldShed func() uint64 // requests since the start that the limit does not bind and would have refused
	// Unprotected reports whether the origin gets a small share of all reads and has no limit for the rest, which
	// arrives when copies are lost.
	Unprotected func() bool
	Retries     func() uint64                                 // requests sent to another address, since the start
	Health      func(tell func(address string, healthy bool)) // of every address
	// Limits are the limits of InFlight, Queued and Streams; zero: no limit.
	Limits func() (inFlight, queued, streams int)
}

// TierGauges are read at each scrape. Every func must be set and safe for concurrent use.
type TierGauges struct {
	Bytes     func() int64
	Entries   func() int64
	Evictions func() uint64 // copies evicted for lack of room, since the start
	Limit     func() int64  // of Bytes; may be nil
}

// SetUpstream registers an upstream's gauges, in place of earlier gauges under the same name.
func (m *Metrics) SetUpstream(name string, g UpstreamGauges) {
	m.held.mu.Lock()
	defer m.held.mu.Unlock()
	m.held.upstreams[name] = g
}

// SetTier registers a store tier's gauges, in place of earlier gauges under the same name.
func (m *Metrics) SetTier(name string, g TierGauges) {
	m.held.mu.Lock()
	defer m.held.mu.Unlock()
	m.held.tiers[name] = g
}

// SetLedger registers the number of names that a ledger tells apart. members must be safe for concurrent use. SetLedger
// may be called once.
func (m *Metrics) SetLedger(members func() int) {
	m.register(readings(func(tell reading) {
		tell(gauge, "ledger_members", "Names that the ledger tells apart.", float64(members()))
	}))
}

// held has the gauges of upstreams and tiers, which come and go with the configuration.
type held struct {
	mu        lockorder.Mutex[lockorder.Gauges] // guards the maps
	upstreams map[string]UpstreamGauges
	tiers     map[string]TierGauges
}

// collect tells the values of all gauges.
func (h *held) collect(tell reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, u := range h.upstreams {
		u.collect(func(kind prometheus.ValueType, metric, help string, value float64, labels ...string) {
			tell(kind, metric, help, value, append(labels, "upstream", name)...)
		})
	}
	for name, t := range h.tiers {
		tell(gauge, "store_bytes", "Bytes held by a tier of the store: of copies; of valkey all that the server uses.", float64(t.Bytes()), "tier", name)
		tell(gauge, "store_entries", "Copies held by a tier of the store; of valkey all keys of its database.", float64(t.Entries()), "tier", name)
		tell(counter, "evictions_total", "Copies that a tier of the store gave up for want of room; of valkey all keys, since the server started.", float64(t.Evictions()), "tier", name)
		if t.Limit != nil {
			tell(gauge, "store_limit_bytes", "Bytes that a tier of the store may hold.", float64(t.Limit()), "tier", name)
		}
	}
}

func (u UpstreamGauges) collect(tell reading) {
	tell(gauge, "origin_in_flight", "Requests that an origin is working on.", float64(u.InFlight()))
	tell(gauge, "origin_queued", "Requests waiting for a place at an origin.", float64(u.Queued()))
	tell(gauge, "origin_in_flight_peak", "The most requests that an origin was working on at once, since the start.", float64(u.Peak()))
	tell(counter, "would_shed_total", "Requests that went to an origin although its limit, which does not hold them, would have refused them.", float64(u.WouldShed()))
	tell(gauge, "upstream_unprotected", "1 when an origin gets a third or less of what is read and has no limit that would hold the rest, else 0.", flag(u.Unprotected()))
	tell(gauge, "origin_streams", "Upgrades, event streams and gRPC calls that are open at an origin.", float64(u.Streams()))
	tell(counter, "retries_total", "Requests that went on to another address of an origin because one could not be reached, or out once more because a kept connection was lost.", float64(u.Retries()))
	inFlight, queued, streams := u.Limits()
	limit := func(name, help string, value int) {
		if value > 0 {
			tell(gauge, name, help, float64(value))
		}
	}
	limit("origin_in_flight_limit", "Requests that an origin may work on for this instance.", inFlight)
	limit("origin_queued_limit", "Requests that may wait for a place at an origin.", queued)
	limit("origin_streams_limit", "Upgrades, event streams and gRPC calls that may be open at an origin.", streams)
	u.Health(func(address string, healthy bool) {
		tell(gauge, "upstream_healthy", "0 while an address of an origin is out of use, or used for want of others, else 1.", flag(healthy), "address", address)
	})
}
