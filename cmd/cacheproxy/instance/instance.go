package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"cacheproxy/admin"
	"cacheproxy/config"
	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/proxy"
	"cacheproxy/proxy/hit"
	"cacheproxy/proxy/server"
	"cacheproxy/store"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"
)

// maxAdminConnections bounds the connections of operators, probes and scrapers. The bound is low, so that a caller who
// reaches the port cannot use up the files that clients need.
const maxAdminConnections = 128

// adminTimeout is how long an operator's call may be silent while it arrives. The caller may take nothing of the answer
// for twice as long. Calls are short and callers are near, so both can be short.
const adminTimeout = 5 * time.Second

// started is about when the process began.
var started = time.Now()

// Options are the parts of an instance.
type Options struct {
	Config    *config.Snapshot // at the start
	Source    *config.Source   // of Config, for reloads; nil: reloads have no source
	Logs      *Logs            // run by its owner, from before New until after Serve
	Level     *slog.LevelVar   // of Logs, set by reloads; nil: the level never changes
	AccessLog io.Writer
	Hangup    <-chan os.Signal // asks for a reload; nil: no signal does
	Build     string           // version of the program
}

// Instance is one running proxy: its listeners and everything behind them.
type Instance struct {
	snapshot *config.Snapshot // of the start: for settings that a reload cannot change
	log      *slog.Logger
	logs     *Logs
	build    string
	metrics  *observe.Metrics
	ledger   *invalidation.Ledger
	entries  entries       // the log of invalidations
	fleet    *fleet        // nil: this process runs alone
	feed     *changes      // nil: no database reports changes
	behind   *behind       // nil: no writes are queued
	boards   *boards       // nil: no route keeps boards
	archive  *boardArchive // of boards; nil: none
	switches *switches
	lines    *observe.LineWriter // of the access log
	tracer   *observe.Tracer     // nil: no traces
	proxy    *proxy.Proxy
	access   *observe.AccessLog
	memory   *store.Memory
	// The content of heapFloor is never used; see the constant. Written by boundMemory.
	heapFloor []byte
	data      *http.Server
	operator  *http.Server
	calls     *admin.Handler // of operator; SetTokens rotates its tokens
	phase     phase

	upstreams   upstreams
	generations generations
	hangup      <-chan os.Signal // asks for a reload; nil: no signal does

	dataListener, adminListener net.Listener
	// certificate and adminCertificate are the listeners' certificates; nil: cleartext.
	certificate, adminCertificate *server.Certificate
	connections, adminConnections *server.Connections
	accepting                     *server.Listener // the data listener with its connection limits
}

// New builds a proxy from a configuration. New opens no socket and starts no goroutine.
func New(o Options) (*Instance, error) {
	s, log := o.Config, o.Logs.Program
	i := &Instance{
		snapshot: s, log: log, logs: o.Logs, build: o.Build, metrics: observe.NewMetrics(o.Build), ledger: invalidation.NewLedger(), hangup: o.Hangup,
	}
	i.metrics.ConfigRead(true)
	i.metrics.SetLedger(i.ledger.Marks)
	i.upstreams.log, i.upstreams.metrics, i.upstreams.agent = log, i.metrics, userAgent(o.Build)
	i.generations.begin(o)
	i.lines = observe.NewLineWriter(o.AccessLog)
	i.metrics.SetLogs(i.lines.Dropped, i.logs.dropped)
	var err error
	i.access, err = observe.NewAccessLog(observe.AccessLogOptions{
		Format: formatWords[s.Log.Format], OTel: s.Log.OTel, Hits: s.Log.Hits, Others: s.Log.Others, Output: i.lines,
	})
	if err != nil {
		return nil, fmt.Errorf("open access log: %w", err)
	}
	if i.tracer, err = i.newTracer(); err != nil {
		return nil, err
	}
	i.switches = &switches{log: i.logs.audit, last: map[string]switched{}}
	i.entries = i.newEntries()
	i.feed = i.newFeed()
	i.memory = store.NewMemory(s.Memory.Size)
	i.metrics.SetTier("memory", observe.TierGauges{
		Bytes: i.memory.Bytes, Entries: func() int64 { return int64(i.memory.Entries()) }, Evictions: i.memory.Evictions,
		Limit: func() int64 { return i.generations.current.Load().Memory.Size },
	})
	if i.fleet == nil {
		i.upstreams.sharers = 1
	}
	ups := i.upstreams.next(s, nil)
	copies := store.New(i.memory, i.fleet.tiers()...)
	i.fleet.emptied(copies.Rewarm)
	if i.behind, err = newBehind(i); err != nil {
		return nil, err
	}
	i.boards = newBoards(i)
	i.archive = newBoardArchive(i)
	options := proxy.Options{
		Config: i.proxyConfig(s, ups), Store: copies, Ledger: i.ledger, Log: i.feed.waking(i.entries),
		Metrics: i.metrics, Access: i.access, Logger: log, Tracer: i.tracer,
		ConfirmTimeout: i.fleet.confirmTimeout, Silence: i.fleet.silence,
	}
	i.fleet.giveTo(&options)
	i.behind.giveTo(&options)
	i.boards.giveTo(&options)
	i.proxy = proxy.New(options)
	i.switches.proxy = i.proxy
	i.upstreams.replace(ups)
	i.servers()
	return i, nil
}

// entries is the log of invalidations, of this process alone or of all instances.
type entries interface {
	invalidation.Log
	Run(ctx context.Context) error
}

// newEntries makes the log, and the fleet if the configuration has one.
func (i *Instance) newEntries() entries {
	if i.snapshot.Valkey != nil {
		i.fleet = newFleet(i.snapshot.Valkey, i)
		return i.fleet.entries
	}
	local := invalidation.NewLocal(i.ledger, hostname())
	local.OnNotice(i.switches.heed)
	return local
}

// proxyConfig joins the routes of a configuration with their upstreams.
func (i *Instance) proxyConfig(s *config.Snapshot, ups []*running) *proxy.Config {
	return proxy.NewConfig(proxy.Config{
		Table: s.Table, MaxObject: s.Memory.MaxObject, MaxBody: s.MaxBody,
		CacheStatusOff: s.CacheStatus.Off, CacheStatusKey: s.CacheStatus.Key, Trusted: s.TrustedProxies,
		TagHeaders: s.TagHeaders, Blind: i.feed.blind(s), Behind: s.Behind, Boards: s.Boards,
	}, s.Routes, origins(ups), i.metrics)
}

func (i *Instance) servers() {
	i.connections = server.NewConnections(i.limits())
	i.metrics.SetConnections(i.connectionCounts)
	i.certificate, i.adminCertificate = certificateOf(i.snapshot.TLS), certificateOf(i.snapshot.Admin.TLS)
	i.present(i.snapshot)
	data := server.Options{
		H2C: i.snapshot.H2C, Certificate: i.certificate, Connections: i.connections, Rejected: i.rejected,
		Misintroduced: (&introductions{log: i.log}).tell, Log: i.log,
	}
	if i.snapshot.HitPath {
		data.Hits = hit.New(proxy.NewHits(i.proxy))
	}
	i.data = server.New(i.proxy, data)
	i.calls = admin.New(i.adminOptions())
	i.adminConnections = server.NewConnections(server.Limits{
		MaxConnections: maxAdminConnections, ReadHeaderTimeout: adminTimeout, BodyTimeout: adminTimeout, WriteTimeout: 2 * adminTimeout,
	})
	i.operator = server.New(i.calls, server.Options{
		Certificate: i.adminCertificate, Connections: i.adminConnections, Log: i.log,
	})
}

func certificateOf(t *config.TLS) *server.Certificate {
	if t == nil {
		return nil
	}
	return server.NewCertificate(t.Certificate, t.MinVersion)
}

// Run opens the sockets of the configuration and serves on them; see Serve.
func (i *Instance) Run(ctx context.Context) error {
	if err := i.listen(); err != nil {
		return err
	}
	return i.Serve(ctx, i.dataListener, i.adminListener)
}

// Serve serves clients and operators until ctx ends, and then ends in order: not ready, drain, finish open requests,
// end the background. Serve closes both listeners, and returns when every goroutine of the instance has ended. An
// instance serves once. data may be nil: Serve then opens the configured address as soon as clients can be served.
func (i *Instance) Serve(ctx context.Context, data, operators net.Listener) error {
	i.dataListener, i.adminListener = data, operators
	i.boundMemory()
	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	group, failed := errgroup.WithContext(background)
	for _, run := range i.parts() {
		group.Go(func() error { return run(background) })
	}
	group.Go(func() error { return served(serveOn(i.operator, i.adminConnections.Listen(i.adminListener))) })
	defer i.fleet.close() // after the end of all its users
	if err := i.begin(ctx); err != nil || ctx.Err() != nil {
		i.feed.stop()
		i.fleet.leaveIfThere()
		i.operator.Close()
		if i.dataListener != nil {
			i.dataListener.Close()
		}
		i.behind.end()
		i.proxy.Close()
		endBackground()
		i.log.Info("stopped before the first request")
		return errors.Join(err, group.Wait())
	}
	i.accepting = i.connections.Listen(i.dataListener, i.snapshot.ProxyProtocol...)
	group.Go(func() error { return served(serveOn(i.data, i.accepting)) })
	i.phase.now.Store(serving)
	notify(daemon.SdNotifyReady)
	i.log.Info("serving", "started_in", time.Since(started).String(), "listen", i.dataListener.Addr().String(), "admin", i.adminListener.Addr().String(),
		"routes", len(i.snapshot.Routes), "memory", i.snapshot.Memory.Size, "files", openFiles(), "build", i.build)
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	i.stop(failed)
	endBackground()
	return group.Wait()
}

// begin waits until clients can be served, and opens their socket if no socket was given. begin returns nil where ctx
// has ended meanwhile; the caller has to check ctx.
func (i *Instance) begin(ctx context.Context) error {
	err := i.fleet.await(ctx)
	if err == nil && ctx.Err() == nil {
		err = errors.Join(i.behind.fits(ctx, i.snapshot), i.boards.fits(ctx, i.snapshot))
	}
	if err != nil || ctx.Err() != nil || i.dataListener != nil {
		return err
	}
	if i.dataListener, err = listenTCP(i.snapshot.Listen); err != nil {
		i.dataListener = nil
		return fmt.Errorf("open data listener: %w", err)
	}
	return nil
}

// parts are the background parts, which run as long as the instance does.
func (i *Instance) parts() []func(context.Context) error {
	parts := []func(context.Context) error{
		i.entries.Run, i.proxy.Run, i.upstreams.run, i.upstreams.watchLoad, i.lines.Run, i.tracer.Run,
		func(ctx context.Context) error { return i.follow(ctx, i.hangup) },
	}
	if i.feed != nil {
		parts = append(parts, i.feed.run)
	}
	if i.boards != nil {
		parts = append(parts, i.boards.run)
	}
	if i.archive != nil {
		parts = append(parts, i.archive.Run)
	}
	if i.behind != nil {
		parts = append(parts, i.behind.run)
	}
	if i.fleet != nil {
		i.fleet.open()
		parts = append(parts, func(ctx context.Context) error { return i.fleet.watch(ctx, i.upstreams.share) }, i.fleet.holdings.run)
		parts = append(parts, i.fleet.below.run...)
	}
	return parts
}

// serveOn speaks TLS where the server has a configuration for TLS.
func serveOn(s *http.Server, l net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

var formatWords = map[config.LogFormat]string{config.LogJSON: "json", config.LogText: "text", config.LogOff: "off"}
