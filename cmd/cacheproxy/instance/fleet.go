package instance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/config"
	"cacheproxy/invalidation"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"

	inspect "cacheproxy/cmd/cacheproxy/valkey"
	serial "cacheproxy/serial/valkey"
)

const (
	// dataSockets is the number of sockets for copies to each node, as a power of two.
	dataSockets = 2
	// firstContact is how long a start waits for the server before going on without it. requiredContact is how long a
	// start waits that must have the server, before it fails.
	firstContact, requiredContact = 2 * time.Second, 10 * time.Second
	// look is the time between two looks at the lease and the live instances.
	look = 100 * time.Millisecond
	// noticed is the part of a lease, a fifth, after which every instance has asked who is live.
	noticed = 5
	// parting is the least time that an instance has for leaving the fleet, however long its last requests took.
	parting = time.Second
)

// fleet is this instance's part in what several instances share: the server, the log on the server, and the copies
// there. A nil *fleet belongs to a process that runs alone.
type fleet struct {
	settings      *config.Valkey
	name          string // of this instance
	log           *slog.Logger
	patience      time.Duration      // of a start, for the server
	server        valkey.Server      // with the certificate in force
	control, data *valkey.Connection // two connections, so that heartbeats do not wait for bodies
	signer        *valkey.Signer     // nil: nothing is signed
	entries       *valkey.Log
	holdings      *holdings
	lease         *invalidation.Lease
	metrics       *observe.Fleet
	below         sharedCopies
	certificate   clientCertificate

	blind   atomic.Bool   // the log could not be followed at the start, and no lease has come since
	shares  bool          // an upstream has a limit for all instances together
	lapsed  atomic.Uint64 // number of times that the lease has lapsed
	onEmpty func()        // called when the server has lost its data

	wires      sync.WaitGroup // the goroutines of the connections
	disconnect context.CancelFunc
}

// newFleet makes the fleet of a configuration. newFleet dials nothing.
func newFleet(v *config.Valkey, i *Instance) *fleet {
	f := &fleet{settings: v, name: uniqueName(v.Instance), log: i.log, patience: firstContact, disconnect: func() {}}
	if v.Required {
		f.patience = requiredContact
	}
	f.shares = slices.ContainsFunc(i.snapshot.Upstreams, func(o upstream.Options) bool { return o.FleetMaxInFlight > 0 })
	server := f.certificate.of(v.Server)
	f.server = server
	f.control, f.data = valkey.NewConnection(server, 0), valkey.NewConnection(server, dataSockets)
	f.metrics = i.metrics.Fleet(f.gauges, inspect.Kinds())
	f.signer = valkey.NewSigner(valkey.SignerOptions{Prefix: v.Prefix, Secrets: v.Secrets, Require: v.Signed, Log: i.log, Observe: f.observe})
	f.entries = valkey.New(valkey.Options{
		Connection: f.control, Prefix: v.Prefix, Instance: f.name, Ledger: i.ledger, Lease: v.Lease, Replicas: v.Replicas,
		Signer: f.signer, Log: i.log, OnNotice: f.heed(i), Observe: f.observe,
	})
	f.lease = f.entries.Lease()
	f.holdings = newHoldings(f.entries, f.lease, i.snapshot.Routes, i.log)
	f.below = f.newSharedCopies(i.snapshot.Memory.MaxObject)
	i.metrics.SetTier("valkey", f.below.gauges)
	return f
}

// heed passes notices of the log to their receivers.
func (f *fleet) heed(i *Instance) func(invalidation.Notice) {
	return func(n invalidation.Notice) {
		if !f.holdings.heed(n) {
			i.switches.heed(n)
		}
	}
}

// giveTo lets a proxy share the lease, the claims and the locks of writes. The locks use the data connection: the fleet
// always has one, and a lock can bear missing a renewal.
func (f *fleet) giveTo(o *proxy.Options) {
	if f != nil {
		o.Lease, o.Claims, o.MayHold = f.lease, f.below.claims, f.holdings.mayHold
		o.WriteLocks = serial.New(serial.Options{Connection: f.data, Prefix: f.settings.Prefix, Alive: f.entries.Alive, Observe: f.observe, Log: f.log})
	}
}

// change puts other routes in force: see holdings.change.
func (f *fleet) change(ctx context.Context, routes []*policy.Route, put func(anew []string) error) error {
	if f == nil {
		return put(nil)
	}
	return f.holdings.change(ctx, routes, put)
}

// uniqueName makes a name that no other process has or will have: the acknowledgements of a purge must tell an instance
// from its successor.
func uniqueName(name string) string {
	if name == "" {
		name = hostname()
	}
	return name + "-" + strings.ToLower(rand.Text()[:6])
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "cacheproxy"
	}
	return name
}

// present sets the client certificate for new connections to the server.
func (f *fleet) present(v *config.Valkey) {
	if f != nil && v != nil {
		f.certificate.present(v.Server)
	}
}

// observe counts an operation on the server.
func (f *fleet) observe(op string, took time.Duration, err error) {
	f.metrics.Observe(op, took, inspect.Kind(err))
}

// leased reports whether this instance has news of purges.
func (f *fleet) leased(now time.Time) bool { return f == nil || f.lease.Valid(now) }

// ready returns the reason that a serving instance is not ready.
func (f *fleet) ready() error {
	switch {
	case f == nil || !f.blind.Load():
		return nil
	case f.leased(time.Now()):
		f.blind.Store(false)
		return nil
	}
	return errors.New("the log of invalidations on Valkey cannot be followed; the log of this instance says why")
}

// limit changes the length beyond which copies are not shared.
func (f *fleet) limit(maxObject int64) {
	if f != nil {
		f.below.tier.SetMaxObject(maxObject)
	}
}

// tiers are the store tiers below memory.
func (f *fleet) tiers() []store.Tier {
	if f == nil {
		return nil
	}
	return []store.Tier{f.below.tier}
}

// confirmTimeout is longer than the log tries to have a purge confirmed. The log has to declare silent instances dead,
// and has to begin again after a new connection.
func (f *fleet) confirmTimeout() time.Duration {
	return 3*f.silence() + time.Second
}

// silence is how long an instance without contact may still use copies, as far as this instance knows.
func (f *fleet) silence() time.Duration {
	if f == nil {
		return 0
	}
	return f.entries.LeaseTimeout()
}

// emptied sets a func to call whenever the server has lost its data. emptied must be called before the fleet runs.
func (f *fleet) emptied(do func()) {
	if f != nil {
		f.onEmpty = do
	}
}

// open starts the connections, which run until close.
func (f *fleet) open() {
	var wires context.Context
	wires, f.disconnect = context.WithCancel(context.Background())
	f.wires.Go(func() { _ = f.control.Run(wires) }) // returns when wires ends
	f.wires.Go(func() { _ = f.data.Run(wires) })
}

// await waits until this instance follows the log and may use copies. An instance that takes requests earlier sends all
// of them to the origins. The first lease comes once no other instance can know of a purge that the log has lost. Where
// no instance vouches for the log, that takes as long as a lease lasts.
//
// await fails where the configuration requires the server and the server cannot be reached. With a server that does not
// tell its identity, the instance would never use a copy, and no one would notice. At such a server the instance serves
// and is not ready.
func (f *fleet) await(ctx context.Context) error {
	if f == nil {
		return nil
	}
	patience := time.NewTimer(f.patience)
	defer patience.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	f.log.Info("waiting for Valkey before the first request", "server", f.settings.Shown(), "at_most", f.patience.String(), "required", f.settings.Required)
	notify("STATUS=waiting for Valkey")
	for !f.connected() || !f.entries.Alive() || f.entries.Instances() == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case <-patience.C:
			why := f.why()
			if !errors.Is(why, valkey.ErrUnnamed) {
				return f.without(why)
			}
			f.log.Error("not ready: the log of invalidations cannot be followed, and every request goes to its origin", "server", f.settings.Shown(), "error", why)
			f.blind.Store(true)
			return nil
		}
	}
	f.log.Info("Valkey answers", "server", f.settings.Shown(), "instances", f.entries.Instances())
	f.awaitLease(ctx)
	if f.shares && f.entries.Instances() > 1 {
		// By then the other instances have noticed this one and have given up its share of the origins.
		pause(ctx, f.settings.Lease/noticed+2*look)
	}
	return nil
}

// awaitLease waits for the first lease, for up to twice the time that leases take: an instance that does not say what
// it knows has to be declared dead first.
func (f *fleet) awaitLease(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !f.leased(time.Now()); {
		if waited := time.Since(began); waited > 2*f.silence()+time.Second {
			f.log.Warn("no lease yet; this instance starts without it, and every request goes to its origin until it has one", "waited", waited.Round(time.Millisecond).String(), "error", f.entries.Problem())
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// without reports that the server cannot be reached, which is an error where the configuration requires the server.
func (f *fleet) without(why error) error {
	if f.settings.Required {
		return fmt.Errorf("valkey.required is true, and after %v there is no working connection to %s: %w", f.patience, f.settings.Shown(), why)
	}
	f.log.Warn("Valkey cannot be reached; this instance starts without it and goes on trying", "server", f.settings.Shown(), "error", why,
		"until_then", "no purge is confirmed, and no copy is used")
	return nil
}

func (f *fleet) connected() bool {
	for _, c := range []*valkey.Connection{f.control, f.data} {
		if _, err := c.Client(); err != nil {
			return false
		}
	}
	return true
}

// why is the reason that this instance does not follow the log.
func (f *fleet) why() error {
	if err := f.control.Connect(); err != nil {
		return err
	}
	if err := f.data.Connect(); err != nil {
		return err
	}
	if err := f.entries.Problem(); err != nil {
		return err
	}
	return fmt.Errorf("it answers, but the log on it cannot be followed; cacheproxy check --live says what is missing")
}

// leave takes this instance out of the fleet after its last answer. leave first records the pending entries, so that no
// promise is lost, and then removes the instance's name, so that no purge waits for the instance.
func (f *fleet) leave(by time.Time) {
	if f == nil {
		return
	}
	if least := time.Now().Add(parting); by.Before(least) {
		by = least
	}
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	if err := f.entries.Leave(ctx); err != nil {
		f.log.Warn("this instance could not take its leave; purges wait for it until its lease has run out", "error", err, "not_recorded", f.entries.State().Pending)
	}
}

// leaveIfThere is leave for an instance that has not served. Other instances wait for such an instance only if it has
// followed the log.
func (f *fleet) leaveIfThere() {
	if f != nil && f.connected() && f.entries.Alive() {
		f.leave(time.Now())
	}
}

// close ends the connections. Every user of the connections must have ended.
func (f *fleet) close() {
	if f != nil {
		f.disconnect()
		f.wires.Wait()
	}
}
