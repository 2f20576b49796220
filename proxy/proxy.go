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

// Options has the parts that a Proxy works with. Config, Store, Ledger, Log, Access, Metrics and Logger are required.
type Options struct {
	Config  *Config
	Store   *store.Store
	Ledger  *invalidation.Ledger
	Log     invalidation.Log
	Access  *observe.AccessLog
	Metrics *observe.Metrics
	Logger  *slog.Logger
	Tracer  *observe.Tracer // nil: no traces
	// Lease says whether copies may be used; nil: this process runs alone, and copies may always be used.
	Lease *invalidation.Lease
	// Writes is the queue of routes with write-behind; nil: there is no queue, and no route may need one. Sealer
	// encrypts the queued writes, and WritePrefix is the prefix of their keys.
	Writes      WriteQueue
	Sealer      *writebehind.Sealer
	WritePrefix string
	// Boards answers requests of routes with a leaderboard; nil: such requests are refused with 503. BoardMetrics may
	// be nil.
	Boards       *api.Desk
	BoardMetrics *observe.Leaderboard
	// Claims coordinates instances, so that one instance fetches for all; nil: there is only this instance.
	Claims store.Claims
	// WriteLocks coordinates instances, so that one instance at a time sends a write of a key; nil: there is only this
	// instance.
	WriteLocks WriteLocks
	// ConfirmTimeout is how long the answer to a write waits for the invalidation to be confirmed; then the answer is
	// sent all the same. ConfirmTimeout must not be less than Silence, so that an instance that could not be reached
	// uses no copies any more by then.
	ConfirmTimeout func() time.Duration
	// Silence is for how long an instance may still use copies after its last contact.
	Silence func() time.Duration
	// MayHold reports whether any instance can have a copy that bears one of the members and was fetched before the
	// call, or can take such a copy from a tier. The proxy calls MayHold after the origin has answered a write, or has
	// failed to answer. Nil: any copy may bear any member.
	MayHold func([]policy.Member) bool
}

// Proxy answers requests from copies, or from the origin. A Proxy is safe for concurrent use. Close must be called
// after the last request has been answered.
type Proxy struct {
	snapshot atomic.Pointer[Config]
	// Reconfigure holds operating from beginning to end, also while waiting for the log.
	operating lockorder.Mutex[lockorder.Configurations]
	// switching is held while a mode is set, and while a generation replaces another. Otherwise a mode could be set in
	// the old generation after the new generation has taken over the modes. The holder must not wait: the goroutine
	// that applies the log switches modes.
	switching lockorder.Mutex[lockorder.Modes]
	store     *store.Store
	ledger    *invalidation.Ledger
	crowd     *invalidation.Crowd // counts the members that writes name; see writing.bounded
	log       invalidation.Log
	metrics   *observe.Metrics
	access    *observe.AccessLog
	tracer    *observe.Tracer
	logger    *slog.Logger
	lease     *invalidation.Lease // nil: copies may always be used
	fills     *fill.Filler

	confirmTimeout func() time.Duration
	silence        func() time.Duration
	mayHold        func([]policy.Member) bool // nil: any copy may bear any member
	began          time.Time

	passer *pass.Passer
	behind *Behind // nil: no writes are queued
	turns  turns
	boards boards

	unfenced, unconfirmed spell // of writes whose fence was not set, and whose end was not confirmed
	// unbelieved is when the next line about fields of untrusted proxies may be logged, in Unix nanoseconds; see warnUnbelieved.
	unbelieved atomic.Int64

	lifetime context.Context // of all work that goes on without a client; ends with Close
	stop     context.CancelFunc
}

// New makes a proxy and starts nothing.
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

// Run renews copies, ends overrides of modes and watches the tiers, until ctx ends. Run returns nil.
func (p *Proxy) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	workers.Go(func() { p.expireModes(ctx) })
	workers.Go(func() { _ = p.fills.Run(ctx) })
	workers.Wait()
	return nil
}

// Close ends every fill that still runs, and returns when all fills have ended.
func (p *Proxy) Close() {
	p.stop()
	p.fills.Close()
}

func (p *Proxy) config() *Config { return p.snapshot.Load() }
