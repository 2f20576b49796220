package attack

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/test/servers"
	"cacheproxy/test/system/promise"
)

var (
	duration = flag.Duration("for", 5*time.Second, "how long the attack lasts")
	seedFlag = flag.Uint64("seed", 0, "what decides what is said; 0: another each time")
	enough   = flag.Int("enough", 0, "end after as many findings; 0: do not")
	lanes    = flag.Int("lanes", 6, "how many clients of HTTP/1 each proxy has")
)

var program string

func TestMain(m *testing.M) { os.Exit(servers.WithCacheproxy(&program, m.Run)) }

const configuration = `
h2c: true
drain_delay: 0s
log: {hits: 0%%, others: 0%%, level: warn}
memory: {size: 32MiB, max_object: 64KiB}
limits: {max_connections: 4096}
%s
upstreams:
  - {name: api, url: "http://%s", timeout: 10s, max_in_flight: 256, max_queue: 1000, queue_timeout: 10s}
routes:
  - {name: through, match: "/v/{id}", policy: write-through, ttl: 5s, key: "v:{id}", headers: [X-Lang]}
  - {name: aside, match: "/c/{id}", policy: cache-aside, ttl: 5s, key: "c:{id}", headers: [X-Lang], query: {include: [a]}}
  - {name: ahead, match: "/r/{id}", policy: refresh-ahead, ttl: 5s, key: "r:{id}", headers: [X-Lang]}
  - {name: bypass, match: "/b/{id}", policy: bypass}
`

// target is what is attacked: proxies, their API, and what is known of both.
type target struct {
	proxies []*servers.Cacheproxy
	logs    []string // files
	valkey  string   // address; empty: there is none
	api     *api
	find    *findings
	check   *promise.Check

	exchanges, hits, cut, writes, purges, unconfirmed, refused, forged atomic.Int64
}

func (t *target) address(i int) string { return strings.TrimPrefix(t.proxies[i].URL, "http://") }

// TestAttack attacks one proxy, and three that share a server.
func TestAttack(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("seed %d: to say the same again, run make attack SEED=%d", seed, seed)
	t.Run("alone", func(t *testing.T) { t.Parallel(); attack(t, seed, 1) })
	t.Run("fleet", func(t *testing.T) { t.Parallel(); attack(t, seed+1, 3) })
}

func attack(t *testing.T, seed uint64, n int) {
	g := aim(t, seed, n)
	idle := g.rest(t)
	ctx, cancel := context.WithTimeout(t.Context(), *duration)
	defer cancel()
	var running sync.WaitGroup
	for i := range g.proxies {
		for lane := range *lanes {
			running.Go(func() { g.lane(ctx, i, lane) })
		}
		running.Go(func() { g.laneH2(ctx, i) })
	}
	running.Go(func() { g.purger(ctx) })
	if g.valkey != "" {
		running.Go(func() { g.stranger(ctx, g.valkey) })
	}
	running.Go(func() { g.watch(ctx, cancel) })
	running.Wait()
	g.settle(t, idle)
	g.panics()
	list, total := g.find.found()
	t.Logf("%d exchanges, %d hits, %d broken off, %d writes, %d copies forged, %d purges, %d neither of which was confirmed; %d reads at risk of %d, %d stale; %d findings",
		g.exchanges.Load(), g.hits.Load(), g.cut.Load(), g.writes.Load(), g.forged.Load(), g.purges.Load(), g.unconfirmed.Load(), g.check.AtRisk.Load(), g.check.Reads.Load(), g.check.Stale.Load(), total)
	for _, f := range list {
		t.Error(f + g.logged(f))
	}
	if n := g.refused.Load() + g.unconfirmed.Load(); n > 5+(g.writes.Load()+g.purges.Load())/50 {
		t.Errorf("%d purges and writes were refused or not confirmed, and nothing was broken", n)
	}
	if g.exchanges.Load() < 100 || g.hits.Load() < 10 {
		t.Error("too little happened to say anything")
	}
}

// aim starts what is attacked.
func aim(t *testing.T, seed uint64, n int) *target {
	t.Helper()
	g := &target{find: newFindings(seed), check: promise.NewCheck(len(prefixes) * resources)}
	var err error
	if g.api, err = newAPI(seed, g.find); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.api.close)
	shared := ""
	if n > 1 {
		v := servers.Valkey(t, servers.ValkeyOptions{})
		g.valkey = v.Address()
		shared = fmt.Sprintf("valkey: {url: \"valkey://%s\", prefix: attack, timeout: 200ms, lease: 3s, secrets: [%s], signatures: require}", v.Address(), strings.Repeat("attack", 6))
	}
	for range n {
		dir := t.TempDir()
		log := filepath.Join(dir, "log")
		command := []string{"/bin/sh", "-c", `exec "$0" "$@" >>"` + log + `" 2>&1`, program}
		p, err := servers.StartCacheproxyBy(t.Context(), command, dir, fmt.Sprintf(configuration, shared, g.api.listener.Addr()))
		if err != nil {
			text, _ := os.ReadFile(log)
			t.Fatalf("%v\n%s", err, text)
		}
		t.Cleanup(func() { _ = p.Process.Stop() })
		g.proxies, g.logs = append(g.proxies, p), append(g.logs, log)
	}
	for _, p := range g.proxies {
		for n > 1 && t.Context().Err() == nil {
			if v, err := p.Gauge(t.Context(), "cacheproxy_lease_valid"); err == nil && v == 1 {
				break
			}
			pause(20 * time.Millisecond)
		}
	}
	return g
}

// lane is one client of HTTP/1: it keeps its connection for as long as it can.
func (g *target) lane(ctx context.Context, proxy, number int) {
	r := rand.New(rand.NewPCG(g.find.seed, uint64(1000*proxy+number)))
	user := fmt.Sprintf("u%d-%d", proxy, number)
	var c *connection
	drop := func() {
		if c != nil {
			c.Close()
			c = nil
		}
	}
	defer drop()
	tags := map[string]string{} // by path
	for n := 0; ctx.Err() == nil; n++ {
		q := newRequest(r, user, fmt.Sprintf("%s-%d", user, n))
		if tag := tags[q.path]; tag != "" && oneIn(r, 6) {
			q.fields = append(q.fields, field{pick(r, "If-None-Match", "If-None-Match", "If-Range", "If-Match"), tag})
		}
		if oneIn(r, 25) {
			drop()
			breakRequest(r, q)
		}
		if c == nil {
			var err error
			if c, err = dial(g.address(proxy)); err != nil {
				g.find.add("cause", "", fmt.Sprintf("no connection: %v", err))
				return
			}
		}
		g.exchanges.Add(1)
		if q.broken == "" && oneIn(r, 12) {
			g.cut.Add(1)
			c.breakOff(q, r)
			c = nil
			continue
		}
		want, risky := g.check.Expected(keyOf(q.path))
		asked := time.Now()
		if next := newRequest(r, user, fmt.Sprintf("%s-%d+", user, n)); simple(q) && simple(next) && oneIn(r, 8) {
			after, riskier := g.check.Expected(keyOf(next.path))
			first, second := c.pipeline(q, next, r)
			g.judge(q, first, asked, want, risky, fmt.Sprintf("%s at %d, pipelined", user, proxy))
			if second != nil {
				g.judge(next, second, asked, after, riskier, fmt.Sprintf("%s at %d, pipelined second", user, proxy))
			}
			drop()
			continue
		}
		a := c.exchange(q, r)
		e := g.judge(q, a, asked, want, risky, fmt.Sprintf("%s at %d", user, proxy))
		g.acknowledged(q, a, e)
		if tag := a.get("ETag"); tag != "" {
			tags[q.path] = tag
		}
		if q.broken != "" || q.proto == "HTTP/1.0" || a.closes() || oneIn(r, 30) {
			drop()
		}
	}
}

// simple reports whether a request can be pipelined: nothing comes of it but its answer.
func simple(q *request) bool {
	return q.broken == "" && q.method == "GET" && q.proto == "HTTP/1.1" && len(q.body) == 0 && !q.expect
}

// breakOff sends a part of a request, or all, reads a part of the answer, slowly or not, and leaves.
func (c *connection) breakOff(q *request, r *rand.Rand) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Duration(r.IntN(int(100 * time.Millisecond)))))
	text := q.text(r)
	if oneIn(r, 2) {
		_, _ = c.Write(text[:r.IntN(len(text))])
		if oneIn(r, 3) {
			pause(time.Duration(r.IntN(int(20 * time.Millisecond))))
		}
		return
	}
	go func() { _, _ = c.Write(text) }()
	if oneIn(r, 4) { // half closed: the answer still comes
		pause(time.Millisecond)
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	part := make([]byte, 1+r.IntN(4000))
	for len(part) > 0 {
		n, err := c.r.Read(part[:min(len(part), 1+r.IntN(1000))])
		if err != nil {
			return
		}
		part = part[n:]
		if oneIn(r, 4) {
			pause(time.Millisecond)
		}
	}
}

// laneH2 is a client of HTTP/2.
func (g *target) laneH2(ctx context.Context, proxy int) {
	r := rand.New(rand.NewPCG(g.find.seed, uint64(5000+proxy)))
	client := newH2()
	defer client.CloseIdleConnections()
	user := fmt.Sprintf("h%d", proxy)
	for n := 0; ctx.Err() == nil; n++ {
		q := newRequest(r, user, fmt.Sprintf("%s-%d", user, n))
		q.proto, q.expect = "HTTP/2", false
		abort := oneIn(r, 12)
		g.exchanges.Add(1)
		want, risky := g.check.Expected(keyOf(q.path))
		asked := time.Now()
		a := exchangeH2(client, g.address(proxy), q, abort)
		if abort {
			g.cut.Add(1)
			continue
		}
		e := g.judge(q, a, asked, want, risky, fmt.Sprintf("%s at %d", user, proxy))
		g.acknowledged(q, a, e)
	}
}

// acknowledged notes what the answer to a write promises.
func (g *target) acknowledged(q *request, a *answer, e *record) {
	if e == nil || e.method != q.method || q.broken != "" || !a.whole || a.status >= 400 {
		return
	}
	switch q.method {
	case "PUT", "POST", "DELETE", "PATCH", "BREW":
	default:
		return
	}
	if strings.Contains(a.get("Cache-Status"), "not-confirmed") {
		g.unconfirmed.Add(1)
		return
	}
	g.writes.Add(1)
	g.check.Acknowledged(e.key, e.version)
	g.verify(e.key)
}

// verify reads a resource from every proxy at once, as whoever has changed it does.
func (g *target) verify(key int) {
	var reading sync.WaitGroup
	for i := range g.proxies {
		reading.Go(func() {
			c, err := dial(g.address(i))
			if err != nil {
				return
			}
			defer c.Close()
			q := &request{method: "GET", path: pathOf(key), proto: "HTTP/1.1", nonce: fmt.Sprintf("verify-%d", rand.Uint64())}
			want, risky := g.check.Expected(key)
			asked := time.Now()
			g.judge(q, c.exchange(q, rand.New(rand.NewPCG(1, 2))), asked, want, risky, fmt.Sprintf("verify at %d", i))
		})
	}
	reading.Wait()
}

// purger changes resources behind the proxies' backs, and says so.
func (g *target) purger(ctx context.Context) {
	r := rand.New(rand.NewPCG(g.find.seed, 9000))
	client := &http.Client{Timeout: 2 * patience}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		key := r.IntN(3 * resources)
		if oneIn(r, 2) {
			key = r.IntN(3)*resources + r.IntN(3)
		}
		path := pathOf(key)
		version := g.api.versions[key].Add(1)
		order := fmt.Sprintf(`{"urls":["http://%s%s"]}`, host, path)
		if oneIn(r, 2) {
			order = fmt.Sprintf(`{"keys":["%s"]}`, strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ":"))
		}
		res, err := client.Post(g.proxies[r.IntN(len(g.proxies))].Admin+"/purge", "application/json", strings.NewReader(order))
		if err != nil {
			g.find.add("cause", "", fmt.Sprintf("purge: %v", err))
			return
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			g.unconfirmed.Add(1)
			g.find.note(path, fmt.Sprintf("purge %s => %d %s", order, res.StatusCode, text))
			continue
		}
		g.purges.Add(1)
		g.find.note(path, fmt.Sprintf("purge %s => version %d is acknowledged", order, version))
		g.check.Acknowledged(key, version)
		g.verify(key)
		pause(time.Duration(r.IntN(int(20 * time.Millisecond))))
	}
}

// watch ends the attack when enough was found, or a proxy has died.
func (g *target) watch(ctx context.Context, end context.CancelFunc) {
	for ctx.Err() == nil {
		if _, total := g.find.found(); *enough > 0 && total >= *enough {
			end()
			return
		}
		for i, p := range g.proxies {
			select {
			case <-p.Process.Done():
				g.find.add("panic", "", fmt.Sprintf("proxy %d has ended", i))
				end()
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// logged is what the proxies have in their logs of the request that a finding tells of.
func (g *target) logged(finding string) (lines string) {
	_, id, found := strings.Cut(finding, "request id: ")
	if !found || len(id) < 32 {
		return ""
	}
	for _, name := range g.logs {
		text, _ := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, id[:32]) {
				lines += "\n  log: " + strings.TrimSpace(line)
			}
		}
	}
	return lines
}

// panics looks into the logs.
func (g *target) panics() {
	for i, name := range g.logs {
		text, _ := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "panic") || strings.Contains(line, "goroutine ") || strings.Contains(line, "BUG") || strings.Contains(line, "DATA RACE") {
				g.find.add("panic", "", fmt.Sprintf("proxy %d: %.2000s", i, line))
			}
		}
	}
}
