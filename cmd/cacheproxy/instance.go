package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"cacheproxy/admin"
	"cacheproxy/config"
	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/proxy"
	"cacheproxy/proxy/origin"
	"cacheproxy/store"

	"golang.org/x/sync/errgroup"
)

const (
	// finishTimeout is how long requests under way may take after the listener has closed.
	finishTimeout = 30 * time.Second
	// maxAdminHeader bounds the header of an operator's request, in bytes.
	maxAdminHeader = 64 << 10
)

// instance is one running proxy: its listeners and everything behind them.
type instance struct {
	snapshot *config.Snapshot
	log      *slog.Logger
	metrics  *observe.Metrics
	ledger   *invalidation.Ledger
	local    *invalidation.Local
	lines    *observe.LineWriter // of the access log
	tracer   *observe.Tracer     // nil: no traces
	proxy    *proxy.Proxy
	data     *http.Server
	operator *http.Server
	calls    *admin.Handler // of operator; SetTokens rotates its tokens
	ready    atomic.Bool

	dataListener, adminListener net.Listener
}

// newInstance builds a proxy from a configuration. It opens no socket.
func newInstance(s *config.Snapshot, log *slog.Logger, accessOut io.Writer) (*instance, error) {
	i := &instance{snapshot: s, log: log, metrics: observe.NewMetrics(buildVersion()), ledger: invalidation.NewLedger()}
	i.metrics.ConfigRead(true)
	i.lines = observe.NewLineWriter(accessOut, i.metrics.AccessLogDropped)
	access, err := observe.NewAccessLog(observe.AccessLogOptions{
		Format: formatWord(s.Log.Format), Hits: s.Log.Hits, Others: s.Log.Others, Output: i.lines,
	})
	if err != nil {
		return nil, fmt.Errorf("open access log: %w", err)
	}
	if i.tracer, err = i.newTracer(); err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "cacheproxy"
	}
	i.local = invalidation.NewLocal(i.ledger, name)
	memory := store.NewMemory(s.Memory.Size)
	i.metrics.SetTier("memory", observe.TierGauges{
		Bytes: memory.Bytes, Entries: func() int64 { return int64(memory.Entries()) }, Evictions: memory.Evictions,
	})
	i.proxy = proxy.New(proxy.Options{
		Config: i.proxyConfig(), Store: store.New(memory), Ledger: i.ledger, Log: i.local,
		Metrics: i.metrics, Access: access, Logger: log, Tracer: i.tracer,
	})
	if err := i.servers(); err != nil {
		return nil, err
	}
	return i, nil
}

// proxyConfig joins the routes with their upstreams.
func (i *instance) proxyConfig() *proxy.Config {
	s := i.snapshot
	var upstreams []*origin.Origin
	for _, o := range s.Upstreams {
		up := origin.New(o)
		upstreams = append(upstreams, up)
		i.metrics.SetUpstream(up.Name(), observe.UpstreamGauges{InFlight: up.InFlight, Queued: up.Queued})
	}
	return proxy.NewConfig(proxy.Config{
		Table: s.Table, MaxObject: s.Memory.MaxObject, CacheStatusKey: s.CacheStatusKey, Trusted: s.TrustedProxies,
	}, s.Routes, upstreams, i.metrics)
}

func (i *instance) servers() error {
	o := proxy.ServerOptions{H2C: i.snapshot.H2C, Log: i.log}
	if t := i.snapshot.TLS; t != nil {
		certificate, err := proxy.LoadCertificate(t.Cert, t.Key)
		if err != nil {
			return err
		}
		o.Certificate = certificate
	}
	i.data = proxy.NewServer(i.proxy, o)
	i.calls = admin.New(i.adminOptions())
	i.operator = &http.Server{
		Handler:           i.calls,
		ReadHeaderTimeout: proxy.DefaultReadHeaderTimeout, IdleTimeout: proxy.DefaultIdleTimeout, MaxHeaderBytes: maxAdminHeader,
		ErrorLog: slog.NewLogLogger(i.log.Handler(), slog.LevelWarn),
	}
	return nil
}

// listen opens the sockets: the operator's first, so that a start that fails can be seen.
func (i *instance) listen() (err error) {
	if i.adminListener, err = net.Listen("tcp", i.snapshot.Admin.Listen); err != nil {
		return fmt.Errorf("open admin listener: %w", err)
	}
	if i.dataListener, err = net.Listen("tcp", i.snapshot.Listen); err != nil {
		i.adminListener.Close()
		return fmt.Errorf("open data listener: %w", err)
	}
	return nil
}

// run serves until ctx ends, and then ends in order: not ready, drain, finish what is under way, end the background.
func (i *instance) run(ctx context.Context) error {
	if i.dataListener == nil {
		if err := i.listen(); err != nil {
			return err
		}
	}
	i.boundMemory()
	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	group, failed := errgroup.WithContext(background)
	group.Go(func() error { return i.local.Run(background) })
	group.Go(func() error { return i.proxy.Run(background) })
	group.Go(func() error { return i.lines.Run(background) })
	group.Go(func() error { return i.tracer.Run(background) })
	group.Go(func() error { return served(i.operator.Serve(i.adminListener)) })
	group.Go(func() error { return served(i.serveData()) })
	i.ready.Store(true)
	i.log.Info("serving", "listen", i.dataListener.Addr().String(), "admin", i.adminListener.Addr().String(),
		"routes", len(i.snapshot.Routes), "memory", i.snapshot.Memory.Size, "build", buildVersion())
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	i.stop(failed)
	endBackground()
	return group.Wait()
}

// collectAt is the growth of the heap, in percent, at which garbage is collected unless GOGC says otherwise. Most of the heap
// is copies that stay; at Go's own 100 the process would need more than twice their size.
const collectAt = 50

func (i *instance) boundMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if limit := i.snapshot.Memory.GoLimit; limit > 0 {
		debug.SetMemoryLimit(limit)
	}
}

func (i *instance) serveData() error {
	if i.snapshot.TLS != nil {
		return i.data.ServeTLS(i.dataListener, "", "")
	}
	return i.data.Serve(i.dataListener)
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// stop ends the listeners. A failure elsewhere cuts the drain short.
func (i *instance) stop(failed context.Context) {
	i.ready.Store(false)
	i.log.Info("stopping", "drain", i.snapshot.DrainDelay.String())
	select {
	case <-time.After(i.snapshot.DrainDelay):
	case <-failed.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	if err := i.data.Shutdown(ctx); err != nil {
		i.log.Warn("requests cut off at exit", "error", err)
		i.data.Close()
	}
	i.proxy.Close()
	if err := i.operator.Shutdown(ctx); err != nil {
		i.operator.Close()
	}
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	switch c.Format {
	case config.LogText:
		return slog.New(slog.NewTextHandler(w, options))
	case config.LogOff:
		return slog.New(slog.DiscardHandler)
	default:
		return slog.New(slog.NewJSONHandler(w, options))
	}
}

func formatWord(f config.LogFormat) string {
	switch f {
	case config.LogText:
		return "text"
	case config.LogOff:
		return "off"
	default:
		return "json"
	}
}
