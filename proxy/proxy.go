package proxy

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
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
	// Claims lets one of several instances fetch what none has; nil: there is only this one.
	Claims store.Claims
	// ConfirmTimeout is how long the answer to a write waits for its invalidation to be confirmed, after which it goes out all
	// the same; 0: 10s. It must not be less than a lease and its margin: then, whoever could not be reached uses no copies.
	ConfirmTimeout time.Duration
	// Silence is for how long an instance that is not heard of may still use copies; 0: ConfirmTimeout.
	Silence time.Duration
}

// Proxy answers requests from copies, or from the origin. It is safe for concurrent use. Close must be called after the
// last request has been answered.
type Proxy struct {
	snapshot atomic.Pointer[Config]
	// operating is held while generations change, which waits for the log.
	operating sync.Mutex
	// switching is held while modes or generations change hands, so that neither is lost to the other. Nothing is waited for
	// with it: the goroutine that applies the log switches modes.
	switching sync.Mutex
	store     *store.Store
	ledger    *invalidation.Ledger
	log       invalidation.Log
	metrics   *observe.Metrics
	access    *observe.AccessLog
	tracer    *observe.Tracer
	logger    *slog.Logger
	lease     *invalidation.Lease // nil: always holds
	claims    store.Claims        // nil: there are no other instances
	sinks     sinks

	confirmTimeout time.Duration
	silence        time.Duration
	began          time.Time

	passer   *passer
	flights  flights
	renewals renewals

	lifetime context.Context // of everything that belongs to no client
	stop     context.CancelFunc
	tasks    tasks // flights, and what makes up for invalidations
}

// New makes a proxy. It starts nothing.
func New(o Options) *Proxy {
	lifetime, stop := context.WithCancel(context.Background())
	p := &Proxy{
		store: o.Store, ledger: o.Ledger, log: o.Log, metrics: o.Metrics, access: o.Access, tracer: o.Tracer, logger: o.Logger,
		lease: o.Lease, claims: o.Claims, sinks: newSinks(), confirmTimeout: cmp.Or(o.ConfirmTimeout, DefaultConfirmTimeout),
		silence: cmp.Or(o.Silence, o.ConfirmTimeout, DefaultConfirmTimeout), began: time.Now(), passer: newPasser(o.Logger),
		flights: flights{ledger: o.Ledger, open: make(map[string]*flight)}, lifetime: lifetime, stop: stop,
	}
	p.renewals.queue = make(chan renewal, renewalQueue)
	p.snapshot.Store(o.Config)
	p.publish(o.Config)
	return p
}

// Run renews copies, lets modes run out and looks after the tiers, in the background, until ctx ends.
func (p *Proxy) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	workers.Go(func() { p.expireModes(ctx) })
	workers.Go(func() { p.watchTiers(ctx) })
	for range renewalWorkers {
		workers.Go(func() { p.renew(ctx) })
	}
	workers.Wait()
	return nil
}

// Close ends every fill that still runs and waits for it.
func (p *Proxy) Close() {
	p.stop()
	p.tasks.Close()
}

func (p *Proxy) config() *Config { return p.snapshot.Load() }

// exchange is one request on its way to its answer.
type exchange struct {
	p       *Proxy
	w       recorder
	r       *http.Request
	cfg     *Config
	start   time.Time
	arrival invalidation.Token // nothing invalidated up to here may be served
	route   *route
	trust   trust
	match   policy.Match
	target  httpcache.Target
	query   string
	key     []byte
	content []byte           // of a read that carries its question in it; nil: none
	mode    policy.Mode      // by which this request goes
	ranges  httpcache.Ranges // what of the answer is wanted; empty: all of it

	wishes   httpcache.RequestDirectives // of the client, where the route heeds them
	personal bool                        // the request has credentials, and the route does not share what it gets

	status policy.Status // what is told about the answer
	origin time.Duration // time spent waiting for the origin
	whole  bool          // the answer came to its end

	requestID string // empty: nobody needed one yet
	originID  string // the one that the origin was asked with or answered with, where it may be another
	span      *observe.Span
}

// maxHops is how often a request may have passed a cacheproxy, by its Via: a chain of a few is legitimate, more is a loop.
const maxHops = 8

var exchanges = sync.Pool{New: func() any { return &exchange{key: make([]byte, 0, 512)} }}

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ex := exchanges.Get().(*exchange)
	// Every other field is zero: finish leaves it so.
	ex.p, ex.r, ex.cfg, ex.key = p, r, p.config(), ex.key[:0]
	ex.start, ex.arrival = time.Now(), p.ledger.Token()
	ex.w.ResponseWriter = w
	ex.span = p.tracer.Request(r, ex.start)
	defer ex.finish()
	ex.serve()
	ex.whole = true
}

// serve is the spine: route, plan, and one of the ways to an answer.
func (ex *exchange) serve() {
	if !ex.arrive() {
		return
	}
	action, reason := policy.PassAction, ex.status.Reason
	if reason == policy.NoReason {
		var err error
		if action, reason, err = ex.plan(); err != nil {
			ex.refuse(http.StatusBadRequest, policy.RequestBody, err.Error())
			return
		}
	} else if !httpcache.Safe(ex.r.Method) || httpcache.OverridesMethod(ex.r.Header) {
		action = policy.WriteAction
	}
	switch action {
	case policy.ReadAction:
		ex.read()
	case policy.CredentialsAction:
		ex.credentials()
	case policy.WriteAction:
		ex.write()
	default:
		ex.pass(reason)
	}
}

// plan decides the way of a request that belongs to a route.
func (ex *exchange) plan() (action policy.Action, reason policy.Reason, err error) {
	mode, outside := ex.route.draw(ex.start)
	ex.mode = mode
	if ex.content, err = ex.question(); err != nil {
		return 0, 0, err
	}
	action, reason = ex.way(mode)
	if outside && reason == policy.ModeOff {
		reason = policy.ModeShare
	}
	return action, reason, nil
}

// way is the way of the request in a mode.
func (ex *exchange) way(mode policy.Mode) (policy.Action, policy.Reason) {
	plan := policy.PlanRequest
	if ex.content != nil {
		plan = policy.PlanContent
	}
	action, reason := plan(ex.route.Route, mode, ex.r, ex.route.selecting())
	if reason == policy.HeaderUnlisted && !ex.trusted() && httpcache.StripForwarded(ex.r.Header) {
		// What it says of proxies is not believed and would not be sent on: it is no reason to go past the cache.
		return plan(ex.route.Route, mode, ex.r, ex.route.selecting())
	}
	return action, reason
}

// arrive takes the request target apart and finds the route. It reports whether the request can be served at all.
func (ex *exchange) arrive() bool {
	ex.route, ex.requestID = ex.cfg.unmatched, ex.broughtID()
	if ex.r.Method == http.MethodConnect {
		ex.refuse(http.StatusMethodNotAllowed, policy.NoRoute, "CONNECT is not possible: this is a gateway to an origin, not a forward proxy")
		return false
	}
	target, err := httpcache.ParseTarget(ex.scheme(), ex.r.Host, ex.r.RequestURI)
	if err != nil {
		ex.refuse(http.StatusBadRequest, policy.UncleanPath, "the request target cannot be understood: "+err.Error())
		return false
	}
	ex.target, ex.query = target, target.Query
	ex.match, ex.status.Reason = ex.cfg.Table.Match(ex.r.Method, target)
	if ex.status.Reason == policy.UncleanPath && !httpcache.Safe(ex.r.Method) {
		// An origin may clean the path: what it then writes to belongs to the route of the clean one.
		ex.match, _ = ex.cfg.Table.Match(ex.r.Method, policy.CleanTarget(target))
	}
	if ex.match.Route != nil {
		ex.route = ex.cfg.routes[ex.match.Route]
	}
	if ex.route.DeclaresForwarded() && !ex.trusted() {
		httpcache.StripForwarded(ex.r.Header)
	}
	ex.trust = ex.route.trust(ex.p.lease, ex.start)
	if httpcache.ViaHops(ex.r.Header) >= maxHops {
		ex.refuse(http.StatusLoopDetected, policy.NoRoute, "the request came through this proxy before: its upstream leads back to itself")
		return false
	}
	return ex.receive()
}

// finish reports the request and lets go of it.
func (ex *exchange) finish() {
	ex.report()
	if ex.status.Outcome != policy.Hit {
		return // what serves other requests may hold on to it beyond their end
	}
	key := ex.key
	*ex = exchange{key: key}
	exchanges.Put(ex)
}

// recorder notes what is sent. It hides nothing: http.ResponseController finds the server's writer through Unwrap.
type recorder struct {
	http.ResponseWriter
	code   int
	bytes  int64
	failed bool // the client could not be sent all of it
}

func (w *recorder) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	if err != nil && !bodyRefused(err) {
		w.failed = true
	}
	return n, err
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
