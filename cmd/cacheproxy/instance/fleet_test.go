package instance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/admin"
	"cacheproxy/invalidation"
	"cacheproxy/invalidation/valkey"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

// member is an instance of a fleet, without listeners.
type member struct {
	*reloading
	log *safeBuffer
}

// safeBuffer is a log that several goroutines write and a test reads.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newMember(t *testing.T, section string) *member {
	t.Helper()
	m := &member{log: &safeBuffer{}}
	m.reloading = newReloadingWith(t, "valkey: {"+section+"}\n", slog.New(slog.NewTextHandler(m.log, nil)))
	return m
}

// join runs what the fleet needs, until the test ends or leave is called.
func (m *member) join() (leave func()) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range m.parts() {
		running.Go(func() { _ = run(ctx) })
	}
	leave = sync.OnceFunc(func() {
		m.fleet.leave(time.Now().Add(5 * time.Second))
		cancel()
		running.Wait()
		m.fleet.close()
	})
	m.t.Cleanup(leave)
	if err := m.fleet.await(ctx); err != nil {
		m.t.Fatal(err)
	}
	return leave
}

// until waits for what other goroutines bring about.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	patience, tick := time.NewTimer(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-patience.C:
			t.Fatalf("in vain: %s", what)
		}
	}
}

func nowhere(t *testing.T) string {
	t.Helper()
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// A purge and a mode of one instance hold on the other when they are answered, and one that leaves is not waited for.
func TestFleet(t *testing.T) {
	server := servers.Valkey(t, servers.ValkeyOptions{})
	section := fmt.Sprintf("url: \"valkey://%s\", lease: 2s, instance: web", server.Address())
	a, b := newMember(t, section), newMember(t, section)
	a.join()
	leave := b.join()
	if a.fleet.name == b.fleet.name || !strings.HasPrefix(a.fleet.name, "web-") {
		t.Errorf("names %q and %q", a.fleet.name, b.fleet.name)
	}
	until(t, "both hear of each other", func() bool { return a.fleet.gauges().Instances == 2 && b.fleet.gauges().Instances == 2 })
	got, err := a.purge(t.Context(), purgeAll(invalidation.WaitAll))
	if err != nil || !got.Held || got.Instances != 2 || got.Seq == 0 {
		t.Errorf("purge: %+v, %v", got, err)
	}
	if got, err := a.purge(t.Context(), purgeAll(invalidation.WaitRecorded)); err != nil || !got.Recorded || got.Held {
		t.Errorf("purge without waiting: %+v, %v", got, err)
	}
	if got, err := a.setMode(t.Context(), off("all")); err != nil || !got.Held || a.modeOf("all") != "off" || b.modeOf("all") != "off" {
		t.Errorf("mode: %+v, %v, %s and %s", got, err, a.modeOf("all"), b.modeOf("all"))
	}
	c := newMember(t, section)
	c.join()
	until(t, "who joins later goes by the mode too", func() bool { return c.modeOf("all") == "off" })
	until(t, "origins are shared by three", func() bool { return a.upstreams.sharing() == 3 && c.upstreams.sharing() == 3 })
	leave()
	until(t, "origins are shared by two", func() bool { return a.upstreams.sharing() == 2 && c.upstreams.sharing() == 2 })
	if shown, err := json.Marshal(a.viewConfig()); err != nil || !strings.Contains(string(shown), `"fleet":{"instance":"`+a.fleet.name) {
		t.Errorf("shown: %s, %v", shown, err)
	}
	began := time.Now()
	got, err = a.purge(t.Context(), purgeAll(invalidation.WaitAll))
	if err != nil || !got.Held || len(got.Reaped) > 0 || time.Since(began) > time.Second {
		t.Errorf("purge after one has left: %+v, %v, after %v", got, err, time.Since(began))
	}
}

func purgeAll(wait invalidation.Wait) admin.Purge {
	return admin.Purge{Order: invalidation.Order{Members: []policy.Member{policy.All}, Wait: wait}, Kind: "all"}
}

// sharing is how many instances the origins know of.
func (u *upstreams) sharing() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sharers
}

// Without the server an instance starts, says so, purges itself, and joins when it comes.
func TestStartWithoutValkey(t *testing.T) {
	server := servers.Valkey(t, servers.ValkeyOptions{})
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	m := newMember(t, fmt.Sprintf("url: \"valkey://%s\", lease: 500ms", server.Address()))
	m.join()
	if said := m.log.String(); !strings.Contains(said, "starts without it") || !strings.Contains(said, server.Address()) {
		t.Errorf("log: %s", said)
	}
	if g := m.fleet.gauges(); g.Lease || g.Instances != 0 {
		t.Errorf("gauges: %+v", g)
	}
	if got, err := m.purge(t.Context(), purgeAll(invalidation.WaitLocal)); err != nil || got.Recorded || got.Held {
		t.Errorf("purge here: %+v, %v", got, err)
	}
	if got, err := m.purge(t.Context(), purgeAll(invalidation.WaitAll)); err == nil || got.Held {
		t.Errorf("purge everywhere: %+v, %v", got, err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the lease is there", func() bool { return m.fleet.gauges().Lease })
	until(t, "what was purged meanwhile is recorded", func() bool { return m.fleet.gauges().Pending == 0 })
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	until(t, "the lease has lapsed", func() bool { g := m.fleet.gauges(); return !g.Lease && g.Lapsed == 1 })
	until(t, "the log says so", func() bool { return strings.Contains(m.log.String(), "lease lapsed") })
}

// A valid configuration that cannot be put in force because the server is away comes into force when the server is back, and nobody asks
// for it again. Until then GET /config says why it is not.
func TestReloadIsRetried(t *testing.T) {
	server := servers.Valkey(t, servers.ValkeyOptions{})
	section := fmt.Sprintf("url: \"valkey://%s\", lease: 500ms", server.Address())
	m := newMember(t, section)
	m.join()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	until(t, "the lease has lapsed", func() bool { return !m.fleet.gauges().Lease })
	m.write("valkey: {" + section + "}\n" + strings.Replace(strings.ReplaceAll(reloadingRoutes, "URL", m.url), "]\n",
		`, {name: more, match: "GET /more", upstream: a, policy: cache-aside, ttl: 1h}]`+"\n", 1))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.follow(ctx, nil) }()
	defer func() { stop(); <-ended }()
	said := "configuration not applied"
	until(t, "the change is not applied", func() bool { return strings.Contains(m.log.String(), said) })
	failed := func() time.Time {
		m.generations.mu.Lock()
		defer m.generations.mu.Unlock()
		return m.generations.failed
	}
	first := failed()
	until(t, "the change is tried again", func() bool { return failed() != first })
	if shown, err := json.Marshal(m.viewConfig()); err != nil || !strings.Contains(string(shown), `"refused":["change routes`) {
		t.Errorf("shown: %s, %v", shown, err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the change is in force", func() bool { return strings.Contains(m.log.String(), "configuration reloaded\" by=retry") })
	if n := strings.Count(m.log.String(), said); len(m.proxy.RouteNames()) != 2 || n != 1 {
		t.Errorf("%d routes, and %d lines say that the change is not applied", len(m.proxy.RouteNames()), n)
	}
}

func TestRequired(t *testing.T) {
	address := nowhere(t)
	m := newMember(t, fmt.Sprintf("url: \"valkey://:secret123@%s\", required: true", address))
	if m.fleet.patience != requiredContact {
		t.Errorf("waits for %v", m.fleet.patience)
	}
	m.fleet.patience = 50 * time.Millisecond
	m.fleet.open()
	defer m.fleet.close()
	err := m.fleet.await(t.Context())
	if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "valkey.required") || strings.Contains(err.Error(), "secret123") {
		t.Errorf("start: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.fleet.await(ended); err != nil {
		t.Errorf("a start that is called off: %v", err)
	}
}

// An instance that starts at a server which does not name itself serves, and is not ready before it may use copies.
func TestAwaitsTheLease(t *testing.T) {
	server := servers.Valkey(t, servers.ValkeyOptions{})
	allow := func(info string) {
		t.Helper()
		if _, err := server.CLI(t.Context(), "ACL", "SETUSER", "u", "on", ">secret123", "~*", "&*", "+@all", info); err != nil {
			t.Fatal(err)
		}
	}
	allow("-info")
	m := newMember(t, fmt.Sprintf("url: \"valkey://u:secret123@%s\", lease: 500ms", server.Address()))
	m.join()
	if !strings.Contains(m.log.String(), "+info") || m.fleet.ready() == nil || m.fleet.leased(time.Now()) {
		t.Errorf("ready: %v; log %s", m.fleet.ready(), m.log)
	}
	allow("+info")
	until(t, "ready", func() bool { return m.fleet.ready() == nil })
	if !m.fleet.leased(time.Now()) {
		t.Error("ready, and no lease")
	}
	allow("-info")
	until(t, "lapse", func() bool { return !m.fleet.leased(time.Now()) })
	if err := m.fleet.ready(); err != nil {
		t.Errorf("an instance that loses the log later, perhaps with all others, goes out of service: %v", err)
	}
}

// A purge may take as long as the log tries, and a process that runs alone needs no time.
func TestConfirmTimeout(t *testing.T) {
	withLease := func(lease time.Duration) *fleet {
		return &fleet{entries: valkey.New(valkey.Options{Connection: valkey.NewConnection(valkey.Server{}, 0), Ledger: invalidation.NewLedger(), Lease: lease})}
	}
	f := withLease(3 * time.Second)
	if got := f.confirmTimeout(); got <= 3*(3*time.Second+invalidation.Margin(3*time.Second)) || got > LongestAnswer {
		t.Errorf("%v", got)
	}
	longest := withLease(time.Minute)
	if got := longest.confirmTimeout(); got >= LongestAnswer {
		t.Errorf("the command gives up after %v, and the proxy after %v", LongestAnswer, got)
	}
}

// orders notes what the log is told to do.
type orders struct {
	entries
	last invalidation.Order
}

func (o *orders) Invalidate(_ context.Context, order invalidation.Order) (invalidation.Receipt, error) {
	o.last = order
	return invalidation.Receipt{Recorded: true}, nil
}

// A purge may be about any upstream: it is repeated after the longest time that one needs to settle.
func TestPurgeOrder(t *testing.T) {
	r := newReloading(t)
	told := &orders{entries: r.entries}
	r.entries = told
	r.with(strings.ReplaceAll(strings.ReplaceAll(reloadingRoutes, `"URL"}`, `"URL", settle: 3s}`), "URL", r.url))
	for _, wait := range []invalidation.Wait{invalidation.WaitAll, invalidation.WaitRecorded, invalidation.WaitLocal} {
		soft := purgeAll(wait)
		soft.Soft = true
		if _, err := r.purge(t.Context(), soft); err != nil {
			t.Fatal(err)
		}
		if got := told.last; got.Wait != wait || !got.Soft || got.Settle != 3*time.Second || len(got.Members) != 1 {
			t.Errorf("wait %d: %+v", wait, got)
		}
	}
	if shown := scrapeText(t, r.Instance); !strings.Contains(shown, "cacheproxy_purges_unconfirmed_total 1\n") || !strings.Contains(shown, `cacheproxy_purges_total{kind="all",source="admin"} 2`) ||
		!strings.Contains(shown, "cacheproxy_purge_seconds_count 0\n") {
		t.Errorf("counted: %s", shown)
	}
}

// scrapeText is what Prometheus gets.
func scrapeText(t *testing.T, i *Instance) string {
	t.Helper()
	req := httptest.NewRequest("GET", "/metrics", nil)
	w := httptest.NewRecorder()
	i.calls.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}
	return w.Body.String()
}

// An instance that waits for the server says so at once. What ends it meanwhile ends it in order: it has opened nothing to clients, and
// says neither that it serves nor that it is ready.
func TestEndWhileWaitingForValkey(t *testing.T) {
	for _, more := range []string{"required: true", "required: false"} {
		listen, operators := nowhere(t), nowhere(t)
		log := &safeBuffer{}
		section := fmt.Sprintf("listen: %q\nadmin: {listen: %q}\nvalkey: {url: \"valkey://%s\", %s}\n", listen, operators, nowhere(t), more)
		m := newReloadingWith(t, section, slog.New(slog.NewTextHandler(log, nil)))
		m.fleet.patience = time.Hour
		ctx, end := context.WithCancel(t.Context())
		defer end()
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		until(t, "the log says that it waits", func() bool { return strings.Contains(log.String(), "waiting for Valkey") })
		if conn, err := net.Dial("tcp", listen); err == nil {
			conn.Close()
			t.Errorf("%s: the port of clients is open", more)
		}
		if got := get(t, "http://"+operators+"/readyz"); !strings.Contains(got, "starting") {
			t.Errorf("%s: an operator got %q", more, got)
		}
		end()
		if err := <-ended; err != nil {
			t.Errorf("%s: ended with %v", more, err)
		}
		if said := log.String(); strings.Contains(said, "msg=serving") || !strings.Contains(said, "stopped before the first request") {
			t.Errorf("%s: the log says %s", more, said)
		}
	}
}
