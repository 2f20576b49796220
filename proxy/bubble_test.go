package proxy

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
	"cacheproxy/test/bubbles"
	"cacheproxy/test/references"
)

// bubble is a proxy and an origin with nothing but memory between them, so that synctest can turn the clock.
type bubble struct {
	t       *testing.T
	proxy   *Proxy
	log     invalidation.Log
	ledger  *invalidation.Ledger
	store   *store.Store
	metrics *observe.Metrics
	lease   *invalidation.Lease

	another func() *bubble // an instance more, with a memory of its own
}

// start makes the proxy.
func (b *bubble) start(config *Config, o rigOptions) {
	b.store = store.New(store.NewMemory(o.memory), o.below...)
	access, err := observe.NewAccessLog(observe.AccessLogOptions{Format: "off", Output: io.Discard})
	if err != nil {
		b.t.Fatal(err)
	}
	b.lease = nil
	if o.lease != 0 {
		b.lease = invalidation.NewLease(time.Now())
	}
	if o.lease > 0 {
		b.lease.Extend(time.Now().Add(o.lease))
	}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	b.proxy = New(Options{
		Config: config, Store: b.store, Ledger: b.ledger, Log: b.log, Metrics: b.metrics, Access: access, Logger: o.logger,
		Lease: b.lease, Claims: o.claims, ConfirmTimeout: timeout(o.confirm), Silence: timeout(cmp.Or(o.silence, o.confirm)),
	})
}

// inBubble runs f with a proxy for these routes on a clock of its own.
func inBubble(t *testing.T, backend http.HandlerFunc, o rigOptions, route *policy.Route, f func(b *bubble)) {
	t.Helper()
	bubbles.Test(t, func(t *testing.T) {
		b := &bubble{t: t, ledger: invalidation.NewLedger(), metrics: observe.NewMetrics("test")}
		ln := newPipes()
		var running sync.WaitGroup
		handler := func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			backend(w, r)
		}
		server := &http.Server{Handler: http.HandlerFunc(handler), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
		running.Go(func() { _ = server.Serve(ln) })
		o.origin.Name, o.origin.URL, o.origin.Dial = "shop", &url.URL{Scheme: "http", Host: "origin.test"}, ln.dial
		if o.refuse != nil {
			o.origin.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if err := o.refuse(); err != nil {
					return nil, err
				}
				return ln.dial(ctx, network, address)
			}
		}
		routes := append([]*policy.Route{route}, o.routes...)
		table, err := policy.NewTable(routes)
		if err != nil {
			t.Fatal(err)
		}
		local := invalidation.NewLocal(b.ledger, "test")
		b.log = local
		if o.log != nil {
			b.log = o.log(local)
		}
		if o.memory == 0 {
			o.memory = 64 << 20
		}
		ctx, stop := context.WithCancel(context.Background())
		running.Go(func() { _ = local.Run(ctx) })
		var ends []func()
		var stores []*store.Store
		var shops []*upstream.Upstream
		var measured []*observe.Metrics
		made := references.Made()
		b.another = func() *bubble {
			next := *b
			next.metrics = observe.NewMetrics("test")
			shop := upstream.New(o.origin)
			config := NewConfig(Config{Table: table, MaxObject: 1 << 20, MaxBody: o.maxBody, Blind: o.blind}, routes, []*upstream.Upstream{shop}, next.metrics)
			next.start(config, o)
			running.Go(func() { _ = next.proxy.Run(ctx) })
			ends = append(ends, next.proxy.Close, shop.CloseIdle)
			shops, measured = append(shops, shop), append(measured, next.metrics)
			stores = append(stores, next.store)
			return &next
		}
		t.Cleanup(func() {
			stop()
			for _, end := range ends {
				end()
			}
			synctest.Wait()
			for _, shop := range shops {
				wantPlacesFree(t, shop)
			}
			for _, m := range measured {
				wantReasons(t, m)
			}
			wantNoneLeft(t, "bodies of the origin", 0, func() int { return int(ln.open.Load()) })
			server.Close()
			running.Wait()
			synctest.Wait() // for clients that the test has left; goroutines that do not end are a failure of the bubble
			references.Empty(o.below)
			references.WantAllFree(t, made, stores...)
		})
		f(b.another())
	})
}

// do answers one request.
func (b *bubble) do(method, target string, header ...string) answer {
	return b.serve(b.t.Context(), method, target, nil, header...)
}

func (b *bubble) serve(ctx context.Context, method, target string, body io.Reader, header ...string) answer {
	r := httptest.NewRequestWithContext(ctx, method, target, body)
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	return b.answer(r)
}

// answer answers a request.
func (b *bubble) answer(r *http.Request) (a answer) {
	w := httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			a = answer{body: "aborted"}
		}
	}()
	b.proxy.ServeHTTP(w, r)
	res := w.Result()
	return answer{status: res.StatusCode, header: res.Header, body: w.Body.String()}
}

// planned is a request that has come and has its plan.
func (b *bubble) planned(method, target string, header ...string) *request {
	rq := &request{r: httptest.NewRequest(method, target, nil), cfg: b.proxy.config(), start: time.Now()}
	for i := 0; i+1 < len(header); i += 2 {
		rq.r.Header.Add(header[i], header[i+1])
	}
	if refused := rq.resolve("http"); refused != nil {
		b.t.Fatal(refused.text)
	}
	rq.plan()
	b.t.Cleanup(rq.held.release)
	return rq
}

// pass lets time pass and everything that it brings about happen.
func (b *bubble) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// count is the value of a counter over the series that have the label value; "" counts all.
func count(t testing.TB, m *observe.Metrics, name, label string) (n int) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, series := range family.GetMetric() {
			match := label == ""
			for _, pair := range series.GetLabel() {
				match = match || pair.GetValue() == label
			}
			if match {
				n += int(series.GetCounter().GetValue())
			}
		}
	}
	return n
}

// wantReasons holds every request to the origin, and every answer that was not stored, to a word of the vocabulary.
func wantReasons(t testing.TB, m *observe.Metrics) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			for _, pair := range series.GetLabel() {
				if pair.GetName() == "reason" && pair.GetValue() == "" {
					t.Errorf("%s counts something for no reason: %v", family.GetName(), series)
				}
			}
		}
	}
}

// pipes is a listener whose connections are dialled in memory.
type pipes struct {
	open   atomic.Int64 // connections that the dialling side has not closed
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		p.open.Add(1)
		return &countedPipe{Conn: near, open: &p.open}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// countedPipe is an open connection until it is closed.
type countedPipe struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *countedPipe) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "origin"} }

// want fails the test unless an answer is as it should be. cache is a part of Cache-Status.
func (a answer) want(t testing.TB, what string, status int, body, cache string) {
	t.Helper()
	got := strings.Join(a.header.Values("Cache-Status"), ", ")
	if a.status != status || (body != "*" && a.body != body) || !strings.Contains(got, cache) {
		t.Errorf("%s: got %d %q, Cache-Status %q; want %d %q, %q", what, a.status, a.body, got, status, body, cache)
	}
}

// confirmTimeout is Options.ConfirmTimeout and Silence where a test does not say.
const confirmTimeout = 10 * time.Second

// timeout is one that does not change; zero: confirmTimeout.
func timeout(d time.Duration) func() time.Duration {
	return func() time.Duration { return cmp.Or(d, confirmTimeout) }
}
