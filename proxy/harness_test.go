package proxy

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/leaderboard/api"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
	"cacheproxy/test/references"
	"cacheproxy/writebehind"
)

// rig is a proxy between real sockets: a client, the proxy's listener, and an origin.
type rig struct {
	t       testing.TB
	proxy   *Proxy
	log     invalidation.Log
	ledger  *invalidation.Ledger
	store   *store.Store
	metrics *observe.Metrics
	front   *httptest.Server
	back    *httptest.Server
	client  *http.Client
}

// rigOptions changes what newRig builds.
type rigOptions struct {
	maxObject int64
	maxBody   int64
	memory    int64
	origin    upstream.Options
	log       func(*invalidation.Local) invalidation.Log
	below     []store.Tier
	claims    store.Claims
	// lease is for how long the instance may trust its ledger, which then is not alone; below 0: it never may. Only inBubble.
	lease   time.Duration
	confirm time.Duration        // Options.ConfirmTimeout; zero: confirmTimeout; only inBubble
	silence time.Duration        // Options.Silence; zero: as confirm; only inBubble
	refuse  func() error         // why no connection to the origin is made; only inBubble
	routes  []*policy.Route      // beside the one; only inBubble
	logger  *slog.Logger         // nil: of no use to the test; only inBubble
	blind   func(time.Time) bool // Config.Blind; only inBubble
	writes  WriteQueue           // where writes wait; nil: nowhere; not inBubble
	behind  map[string]*writebehind.Rules
	others  []upstream.Options // beside the one; not inBubble
	desk    *api.Desk          // of boards; not inBubble
	boards  map[string]*api.Route
}

// newRig starts a proxy with these routes before an origin.
func newRig(t testing.TB, backend http.HandlerFunc, o rigOptions, routes ...*policy.Route) *rig {
	t.Helper()
	wantGoroutinesBack(t)
	made := references.Made()
	r := &rig{t: t, ledger: invalidation.NewLedger(), metrics: observe.NewMetrics("test")}
	back, open := newBack(t, backend)
	r.back = back
	t.Cleanup(r.back.Close)
	o.origin.Name = "shop"
	o.origin.URL, _ = url.Parse(r.back.URL)
	if o.origin.Timeout == 0 {
		o.origin.Timeout = 30 * time.Second
	}
	if o.origin.MaxInFlight == 0 {
		o.origin.MaxInFlight = 5000
	}
	if o.memory == 0 {
		o.memory = 64 << 20
	}
	if o.maxObject == 0 {
		o.maxObject = 1 << 20
	}
	table, err := policy.NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	local := invalidation.NewLocal(r.ledger, "test")
	r.log = local
	if o.log != nil {
		r.log = o.log(local)
	}
	r.store = store.New(store.NewMemory(o.memory), o.below...)
	access, err := observe.NewAccessLog(observe.AccessLogOptions{Format: "off", Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	origin := upstream.New(o.origin)
	origins := []*upstream.Upstream{origin}
	for _, other := range o.others {
		origins = append(origins, upstream.New(other))
	}
	sealer, err := writebehind.NewSealer("shop", []string{"0123456789abcdef0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	r.proxy = New(Options{
		Writes: o.writes, Sealer: sealer, WritePrefix: "shop", Boards: o.desk,
		Config: NewConfig(Config{Table: table, MaxObject: o.maxObject, MaxBody: o.maxBody, Behind: o.behind, Boards: o.boards}, routes, origins, r.metrics),
		Store:  r.store, Ledger: r.ledger, Log: r.log, Metrics: r.metrics, Access: access,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), ConfirmTimeout: timeout(0), Silence: timeout(0),
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	go func() { _ = r.proxy.Run(ctx); done <- struct{}{} }()
	go func() { _ = local.Run(ctx); done <- struct{}{} }()
	r.front = httptest.NewUnstartedServer(nil)
	handler := &underWay{Handler: r.proxy}
	r.front.Config = server.New(handler, server.Options{Connections: server.NewConnections(server.Limits{}), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	r.front.Start()
	r.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000, DisableCompression: true}}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.front.Close()
		wantNoneLeft(t, "requests under way", 0, func() int { return int(handler.n.Load()) })
		stop()
		<-done
		<-done
		r.proxy.Close()
		for _, o := range append(r.origins(), origin) {
			wantPlacesFree(t, o)
			o.CloseIdle()
		}
		wantReasons(t, r.metrics)
		wantNoneLeft(t, "bodies of the origin", 0, func() int { return int(open.n.Load()) })
		references.Empty(o.below)
		references.WantAllFree(t, made, r.store)
	})
	return r
}

// settle waits until what was fetched is stored: a client has its answer a moment before.
func (r *rig) settle(t testing.TB) {
	t.Helper()
	waitFor(t, func() bool { l := r.proxy.fills.Load(); return l.Flights == 0 && l.Tasks == 0 })
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request with header fields as name, value, name, value.
func (r *rig) do(method, target string, header ...string) answer {
	r.t.Helper()
	a, err := r.try(method, target, nil, header...)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

func (r *rig) try(method, target string, body io.Reader, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.front.URL+target, body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(b)}, err
}

// routeFor makes a caching route as the configuration's presets would.
func routeFor(t testing.TB, name string, change func(*policy.Route), patterns ...string) *policy.Route {
	t.Helper()
	r := &policy.Route{
		Name: name, Upstream: "shop", Policy: policy.CacheAside, TTL: time.Minute, MaxWaiters: 10000, WaitTimeout: 30 * time.Second,
		Query: policy.Query{Unlisted: policy.UnlistedKey}, FenceHold: time.Second, RefreshAt: 0.8, MinHits: 2,
	}
	for _, p := range patterns {
		pattern, err := policy.ParsePattern(p)
		if err != nil {
			t.Fatal(err)
		}
		r.Patterns = append(r.Patterns, pattern)
	}
	if change != nil {
		change(r)
	}
	decide(r)
	return r
}

// decide sets what the configuration sets for the route's policy.
func decide(r *policy.Route) {
	r.Caches = r.Policy != policy.Bypass && r.Policy != policy.Leaderboard
	r.RefusesReads = r.Policy == policy.ReadThrough
	r.FencesWrites = r.Policy == policy.WriteThrough
	r.RefusesWrites = r.Policy == policy.WriteThrough
	r.RenewsAhead = r.Policy == policy.RefreshAhead
}

func template(t testing.TB, s string) policy.Template {
	t.Helper()
	tmpl, err := policy.ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func key(s string) policy.Member { return policy.NewMember(policy.KindKey, s) }
func tag(s string) policy.Member { return policy.NewMember(policy.KindTag, s) }

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every answer says one thing about itself, and no defect passes for an answer.
func init() {
	onDefect = func(defect any) { panic(defect) }
	settledTwice = func(first, second policy.Status) {
		panic(fmt.Sprintf("the status was settled twice: %+v, then %+v", first, second))
	}
}
