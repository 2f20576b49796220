package fill

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// Options are the parts that a Filler works with. Store, Ledger and Logger are required.
type Options struct {
	Store  *store.Store
	Ledger *invalidation.Ledger
	Logger *slog.Logger
	Tracer *observe.Tracer // nil: no traces
	// Lease says whether the ledger knows of every invalidation; nil: this process runs alone, and the ledger always
	// does.
	Lease *invalidation.Lease
	// Claims lets one of several instances fetch what no instance has; nil: this instance is the only one.
	Claims store.Claims
}

// Filler fetches answers and stores them. Filler is safe for concurrent use. New sets every field. Afterwards only
// flights, tiers, recalls, renewals and tasks change, each safe for concurrent use.
type Filler struct {
	store  *store.Store
	ledger *invalidation.Ledger
	lease  *invalidation.Lease // nil: always holds
	claims store.Claims        // nil: this instance is the only one
	tracer *observe.Tracer
	logger *slog.Logger

	flights  flights
	tiers    tiers
	recalls  recalls
	renewals renewals // a renewal that does not fit into the queue is dropped

	lifetime context.Context // of all fills; ends with Close
	stop     context.CancelFunc
	tasks    tasks // fills, and copies on their way to the tiers
}

// New makes a filler. New starts no goroutine.
func New(o Options) *Filler {
	lifetime, stop := context.WithCancel(context.Background())
	f := &Filler{
		store: o.Store, ledger: o.Ledger, lease: o.Lease, claims: o.Claims, tracer: o.Tracer, logger: o.Logger,
		lifetime: lifetime, stop: stop,
	}
	f.tasks.keep()
	f.renewals.renew, f.renewals.of = f.renew, make(map[*upstream.Upstream]*renewalsOf)
	f.tiers = tiers{
		store: o.Store, lease: o.Lease, logger: o.Logger, lifetime: lifetime, tasks: &f.tasks,
		writing: make(chan struct{}, maxWriting), warming: make(chan struct{}, maxWarming),
	}
	f.flights.init(o.Ledger, f.start)
	f.recalls.seed = maphash.MakeSeed()
	return f
}

// Run renews copies and watches the tiers in the background, until ctx ends. The error is always nil.
func (f *Filler) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	workers.Go(func() { f.tiers.watch(ctx) })
	workers.Go(func() { f.renewals.run(ctx) })
	workers.Wait()
	return nil
}

// Close cancels every fill that still runs and waits for all fills. A later Join or Alone gets an error as its
// answer.
func (f *Filler) Close() {
	f.stop()
	f.tasks.Close()
	f.renewals.forget()
}

// Load is how much work is under way.
type Load struct {
	Flights int // flights that requests may still join
	Waiters int // requests that wait for the header of such a flight's answer
	Tasks   int // fills, and copies on their way to the tiers
}

// Load counts what is under way at the moment.
func (f *Filler) Load() Load {
	l := Load{Tasks: f.tasks.count()}
	l.Flights, l.Waiters = f.flights.count()
	return l
}

// Rewarm writes a copy that was found under a storage key to the tiers below memory, after the tiers have lost the
// copy. Rewarm does not wait for the write. The caller has a reference to the copy.
func (f *Filler) Rewarm(r *Route, key string, found store.Found) { f.tiers.warm(r, key, found) }

// RefusesRead reports whether a read of the route that no copy answers must not go on to the origin. Read-through
// promises that the origin sees no more requests than the store lets through.
func (f *Filler) RefusesRead(r *Route, now time.Time) bool {
	return r.RefusesReads && (f.store.Down() || !f.lease.Valid(now))
}
