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

// Options is what a Filler works with. Store, Ledger and Logger are required.
type Options struct {
	Store  *store.Store
	Ledger *invalidation.Ledger
	Logger *slog.Logger
	Tracer *observe.Tracer // nil: no traces
	// Lease says whether the ledger knows of every invalidation; nil: this process runs alone, and the ledger always does.
	Lease *invalidation.Lease
	// Claims lets one of several instances fetch what none has; nil: there is only this one.
	Claims store.Claims
}

// Filler fetches answers and stores them. It is safe for concurrent use. All fields but the queue, the places and the flights
// are set by New and never change.
type Filler struct {
	store  *store.Store
	ledger *invalidation.Ledger
	lease  *invalidation.Lease // nil: always holds
	claims store.Claims        // nil: there are no other instances
	tracer *observe.Tracer
	logger *slog.Logger

	flights  flights
	tiers    tiers
	recalls  recalls
	renewals renewals // renewals that do not fit into the queue are dropped

	lifetime context.Context // of all fills; ends with Close
	stop     context.CancelFunc
	tasks    tasks // fills, and copies on their way to the tiers
}

// New makes a filler. It starts nothing.
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

// Run renews copies and looks after the tiers, in the background, until ctx ends.
func (f *Filler) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	workers.Go(func() { f.tiers.watch(ctx) })
	workers.Go(func() { f.renewals.run(ctx) })
	workers.Wait()
	return nil
}

// Close ends every fill that still runs and waits for it. What is asked for afterwards is answered with an error.
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

// Rewarm writes a copy that was found under a storage key to the tiers below memory, which have lost it. Nobody waits for it. The
// caller has a reference to the copy.
func (f *Filler) Rewarm(r *Route, key string, found store.Found) { f.tiers.warm(r, key, found) }

// RefusesRead reports whether a read of the route that no copy answers must not go on to the origin: read-through promises that
// the origin sees no more than what the store lets through.
func (f *Filler) RefusesRead(r *Route, now time.Time) bool {
	return r.RefusesReads && (f.store.Down() || !f.lease.Valid(now))
}
