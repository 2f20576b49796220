package observe

import (
	"time"

	"cacheproxy/lockorder"

	"github.com/prometheus/client_golang/prometheus"
)

// valkeyBuckets in seconds: a round trip takes tens of microseconds, and what is confirmed by others as long as a lease.
var valkeyBuckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5}

// FleetGauges is what an instance knows of the log that it shares with others.
type FleetGauges struct {
	Lag             time.Duration // since the ledger was last known to have all that is in the log
	Lease           bool          // copies may be used
	Lapsed          uint64        // how often that has ended, since the start
	Instances       int           // live
	Position, Floor uint64
	Pending         int // entries that wait to be recorded
}

// Fleet counts what an instance does with the server that it shares with others. It is safe for concurrent use.
type Fleet struct {
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
	kinds   []string

	mu  lockorder.Mutex[lockorder.FleetMetrics] // guards ops
	ops map[string]*fleetOp
}

type fleetOp struct {
	took   prometheus.Observer
	failed map[string]prometheus.Counter
}

// Fleet makes the metrics of a server that is shared with others. read is called at each scrape and must be safe for
// concurrent use; kinds are all that errors can be. It may be called once.
func (m *Metrics) Fleet(read func() FleetGauges, kinds []string) *Fleet {
	f := &Fleet{
		seconds: histograms("valkey_seconds", "Time that an operation of the shared server took, whether or not it succeeded.", valkeyBuckets, "op"),
		errors:  counters("valkey_errors_total", "Operations of the shared server that failed, by how.", "op", "kind"),
		kinds:   kinds, ops: map[string]*fleetOp{},
	}
	m.register(f.seconds, f.errors, readings(func(tell reading) { read().collect(tell) }))
	return f
}

// Observe counts an operation. kind says how it failed; empty: it did not.
func (f *Fleet) Observe(op string, took time.Duration, kind string) {
	o := f.op(op)
	o.took.Observe(took.Seconds())
	if kind != "" {
		o.failed[kind].Inc()
	}
}

// op is what counts an operation. All of its errors begin at zero, so that the first one is seen.
func (f *Fleet) op(name string) *fleetOp {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.ops[name]
	if o == nil {
		o = &fleetOp{took: f.seconds.WithLabelValues(name), failed: map[string]prometheus.Counter{}}
		for _, kind := range f.kinds {
			o.failed[kind] = f.errors.WithLabelValues(name, kind)
		}
		f.ops[name] = o
	}
	return o
}

// collect tells a reading of the gauges.
func (n FleetGauges) collect(tell reading) {
	tell(gauge, "ledger_lag_seconds", "Time since this instance was last known to have applied all that is in the shared log.", n.Lag.Seconds())
	tell(gauge, "lease_valid", "1 while this instance may use copies, 0 while it has no news of purges.", flag(n.Lease))
	tell(counter, "lease_lapsed_total", "How often this instance has lost its lease.", float64(n.Lapsed))
	tell(gauge, "instances", "Live instances that share the log, by the last that was heard of them.", float64(n.Instances))
	tell(gauge, "ledger_position", "Position in the shared log up to which this instance has applied it.", float64(n.Position))
	tell(gauge, "ledger_floor", "Position in the shared log below which copies are unusable because the ledger is full.", float64(n.Floor))
	tell(gauge, "ledger_pending", "Entries that wait to be recorded in the shared log.", float64(n.Pending))
}
