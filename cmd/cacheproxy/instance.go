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

// maxAdminHeader bounds the header of an operator's request, in bytes.
const maxAdminHeader = 64 << 10

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
	origins  []*origin.Origin
	data     *http.Server
	operator *http.Server
	calls    *admin.Handler // of operator; SetTokens rotates its tokens
	phase    phase

	dataListener, adminListener net.Listener
	connections                 *proxy.Connections // of the data listener
	accepting                   *proxy.Listener    // takes them in
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
	for _, o := range s.Upstreams {
		o.Log, o.Waited = i.log, i.metrics.Upstream(o.Name).Waited
		up := origin.New(o)
		i.origins = append(i.origins, up)
		i.metrics.SetUpstream(up.Name(), observe.UpstreamGauges{
			InFlight: up.InFlight, Queued: up.Queued, Retries: up.Retries, Health: up.Health,
		})
	}
	return proxy.NewConfig(proxy.Config{
		Table: s.Table, MaxObject: s.Memory.MaxObject, MaxBody: s.MaxBody, CacheStatusKey: s.CacheStatusKey, Trusted: s.TrustedProxies,
	}, s.Routes, i.origins, i.metrics)
}

func (i *instance) servers() error {
	i.connections = proxy.NewConnections(i.limits())
	i.metrics.SetConnections(i.connectionCounts)
	o := proxy.ServerOptions{H2C: i.snapshot.H2C, Connections: i.connections, Log: i.log}
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

// run serves until ctx ends, and then ends in order: not ready, drain, finish what is under way, end the background.
func (i *instance) run(ctx context.Context) error {
	if i.dataListener == nil {
		if err := i.listen(); err != nil {
			return err
		}
	}
	i.accepting = i.connections.Listen(i.dataListener)
	i.boundMemory()
	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	group, failed := errgroup.WithContext(background)
	group.Go(func() error { return i.local.Run(background) })
	group.Go(func() error { return i.proxy.Run(background) })
	for _, up := range i.origins {
		group.Go(func() error { return up.Run(background) })
	}
	group.Go(func() error { return i.lines.Run(background) })
	group.Go(func() error { return i.tracer.Run(background) })
	group.Go(func() error { return served(i.operator.Serve(i.adminListener)) })
	group.Go(func() error { return served(i.serveData()) })
	i.phase.now.Store(serving)
	notify("READY=1")
	i.log.Info("serving", "started_in", time.Since(started).String(), "listen", i.dataListener.Addr().String(), "admin", i.adminListener.Addr().String(),
		"routes", len(i.snapshot.Routes), "memory", i.snapshot.Memory.Size, "files", openFiles(), "build", buildVersion())
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	i.stop(failed)
	endBackground()
	return group.Wait()
}

func (i *instance) serveData() error {
	if i.snapshot.TLS != nil {
		return i.data.ServeTLS(i.accepting, "", "")
	}
	return i.data.Serve(i.accepting)
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
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
