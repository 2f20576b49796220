package proxy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/leaderboard/api"
	"cacheproxy/lockorder"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/pass"
	"cacheproxy/store"
	"cacheproxy/writebehind"
)

// Options is what a Proxy works with. Config, Store, Ledger, Log, Access, Metrics and Logger are required.
type Options struct {
	Config  *Config
	Store   *store.Store
	Ledger  *invalidation.Ledger
	Log     invalidation.Log
	Access  *observe.AccessLog
	Metrics *observe.Metrics
	Logger  *slog.Logger
	Tracer  *observe.Tracer // nil: no traces
	// Lease says whether copies may be used; nil: this process runs alone, and they always may.
	Lease *invalidation.Lease
	// Writes is where writes wait for their origin; nil: nowhere, and no route may ask for it. Sealer closes what is kept there, and
	// WritePrefix begins its keys.
	Writes      WriteQueue
	Sealer      *writebehind.Sealer
	WritePrefix string
	// Boards answers for routes that keep boards; nil: nobody does, and no route may ask for it. BoardMetrics may be nil.
	Boards       *api.Desk
	BoardMetrics *observe.Leaderboard
	// Claims lets one of several instances fetch what none has; nil: there is only this one.
	Claims store.Claims
	// WriteLocks lets one of several instances make a write of a key; nil: there is only this one.
	WriteLocks WriteLocks
	// ConfirmTimeout is how long the answer to a write waits for its invalidation to be confirmed, after which it goes out all
	// the same. It must not be less than Silence: then, whoever could not be reached uses no copies.
	ConfirmTimeout func() time.Duration
	// Silence is for how long an instance that is not heard of may still use copies.
	Silence func() time.Duration
	// MayHold reports whether any instance can have a copy, or take one from a tier, that bears one of the members and was fetched before
	// the call. Nil: any may. It is asked after the origin has answered a write.
	MayHold func([]policy.Member) bool
}

// Proxy answers requests from copies, or from the origin. It is safe for concurrent use. Close must be called after the
// last request has been answered.
type Proxy struct {
	snapshot atomic.Pointer[Config]
	// operating is held while generations change, which waits for the log.
	operating lockorder.Mutex[lockorder.Configurations]
	// switching is held while modes or generations change hands, so that neither is lost to the other. Nothing is waited for
	// with it: the goroutine that applies the log switches modes.
	switching lockorder.Mutex[lockorder.Modes]
	store     *store.Store
	ledger    *invalidation.Ledger
	crowd     *invalidation.Crowd // of what writes name
	log       invalidation.Log
	metrics   *observe.Metrics
	access    *observe.AccessLog
	tracer    *observe.Tracer
	logger    *slog.Logger
	lease     *invalidation.Lease // nil: always holds
	fills     *fill.Filler

	confirmTimeout func() time.Duration
	silence        func() time.Duration
	mayHold        func([]policy.Member) bool // nil: any copy may bear any member
	began          time.Time

	passer *pass.Passer
	behind *Behind // nil: no writes are queued
	turns  turns
	boards boards

	unfenced, unconfirmed spell        // of the lines about writes
	unbelieved            atomic.Int64 // when the next line about what is not believed may be written, in nanoseconds since 1970

	lifetime context.Context // of everything that belongs to no client
	stop     context.CancelFunc
}

// New makes a proxy. It starts nothing.
func New(o Options) *Proxy {
	lifetime, stop := context.WithCancel(context.Background())
	p := &Proxy{
		store: o.Store, ledger: o.Ledger, crowd: invalidation.NewCrowd(o.Ledger), log: o.Log, metrics: o.Metrics, access: o.Access, tracer: o.Tracer, logger: o.Logger,
		lease: o.Lease, confirmTimeout: o.ConfirmTimeout, silence: o.Silence, mayHold: o.MayHold, began: time.Now(), passer: pass.New(o.Logger),
		fills: fill.New(fill.Options{
			Store: o.Store, Ledger: o.Ledger, Logger: o.Logger, Tracer: o.Tracer, Lease: o.Lease, Claims: o.Claims,
		}),
		lifetime: lifetime, stop: stop,
	}
	p.turns.locks = o.WriteLocks
	p.boards.desk, p.boards.metrics = o.Boards, o.BoardMetrics
	p.snapshot.Store(o.Config)
	if o.Writes != nil {
		p.behind = newBehind(p, o)
	}
	p.publish(o.Config)
	return p
}

// Run renews copies, lets modes run out and looks after the tiers, in the background, until ctx ends.
func (p *Proxy) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	workers.Go(func() { p.expireModes(ctx) })
	workers.Go(func() { _ = p.fills.Run(ctx) })
	workers.Wait()
	return nil
}

// Close ends every fill that still runs and waits for it.
func (p *Proxy) Close() {
	p.stop()
	p.fills.Close()
}

func (p *Proxy) config() *Config { return p.snapshot.Load() }
