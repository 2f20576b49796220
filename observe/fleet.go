package observe

import (
	"time"

	"cacheproxy/lockorder"

	"github.com/prometheus/client_golang/prometheus"
)

// valkeyBuckets in seconds: a round trip takes tens of microseconds, and a confirmation by others as long as a lease.
var valkeyBuckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5}

// FleetGauges is an instance's view of the log that it shares with others.
type FleetGauges struct {
	Lag             time.Duration // since the ledger last had everything in the log
	Lease           bool          // copies may be used
	Lapsed          uint64        // number of times that the lease has ended, since the start
	Instances       int           // live
	Position, Floor uint64
	Pending         int // entries that wait for being recorded
}

// Fleet counts an instance's operations on the shared server. Fleet is safe for concurrent use.
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

// Fleet makes the metrics of the shared server. Each scrape calls read, which must be safe for concurrent use. kinds
// are all kinds of errors. Fleet may be called once.
func (m *Metrics) Fleet(read func() FleetGauges, kinds []string) *Fleet {
	f := &Fleet{
		seconds: histograms("valkey_seconds", "Time that an operation of the shared server took, whether or not it succeeded.", valkeyBuckets, "op"),
		errors:  counters("valkey_errors_total", "Operations of the shared server that failed, by how.", "op", "kind"),
		kinds:   kinds, ops: map[string]*fleetOp{},
	}
	m.register(f.seconds, f.errors, readings(func(tell reading) { read().collect(tell) }))
	return f
}

// Observe counts an operation. kind is the kind of its failure; empty: the operation succeeded.
func (f *Fleet) Observe(op string, took time.Duration, kind string) {
	o := f.op(op)
	o.took.Observe(took.Seconds())
	if kind != "" {
		o.failed[kind].Inc()
	}
}

// op is the counters of an operation. All of its error counters begin at zero, so that the first error is visible.
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

// collect tells the values of the gauges.
func (n FleetGauges) collect(tell reading) {
	tell(gauge, "ledger_lag_seconds", "Time since this instance was last known to have applied all that is in the shared log.", n.Lag.Seconds())
	tell(gauge, "lease_valid", "1 while this instance may use copies, 0 while it has no news of purges.", flag(n.Lease))
	tell(counter, "lease_lapsed_total", "How often this instance has lost its lease.", float64(n.Lapsed))
	tell(gauge, "instances", "Live instances that share the log, by the last that was heard of them.", float64(n.Instances))
	tell(gauge, "ledger_position", "Position in the shared log up to which this instance has applied it.", float64(n.Position))
	tell(gauge, "ledger_floor", "Position in the shared log below which copies are unusable because the ledger is full.", float64(n.Floor))
	tell(gauge, "ledger_pending", "Entries that wait to be recorded in the shared log.", float64(n.Pending))
}
