package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cacheproxy/test/servers"
)

const outcomesConfig = `
listen: 127.0.0.1:0
drain_delay: 0s
log: {hits: 0%%, others: 0%%}
memory: {size: 1MiB, max_object: 512KiB}
upstreams:
  - {name: shop, url: "%[1]s", timeout: 30s}
  - {name: narrow, url: "%[1]s", timeout: 30s, max_in_flight: 1, max_queue: 0}
routes:
  - {name: cached, upstream: shop, match: GET /cached/, policy: cache-aside, key: "k", ttl: 10m, stale_while_revalidate: 10m}
  - {name: brief, upstream: shop, match: GET /brief/, policy: cache-aside, ttl: 1ms, jitter: 0%%}
  - {name: narrow, match: GET /narrow/, upstream: narrow, policy: bypass}
  - {name: watched, upstream: shop, match: GET /watched/, policy: cache-aside, mode: observe, ttl: 10m}
  - {name: written, upstream: shop, match: POST /written, policy: bypass}
`

// moving is an origin whose answers change under /brief/ and /watched/differs, and wait under /slow and /narrow/slow.
type moving struct {
	asked   chan struct{}
	release chan struct{}
	version atomic.Int64
}

func (o *moving) serve(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/slow"):
		w.(http.Flusher).Flush() // who comes now joins the answer as it grows
		o.asked <- struct{}{}
		<-o.release
	case strings.HasSuffix(path, "/etag"):
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Cache-Control", "no-cache")
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	case strings.HasSuffix(path, "/changes"):
		fmt.Fprint(w, o.version.Add(1))
		return
	case strings.HasSuffix(path, "/large"):
		fmt.Fprint(w, strings.Repeat("x", 200<<10))
		return
	case strings.HasSuffix(path, "/private"):
		w.Header().Set("Cache-Control", "private")
	case strings.HasSuffix(path, "/dies"):
		panic(http.ErrAbortHandler)
	}
	fmt.Fprint(w, "same")
}

// Each outcome that there is without a shared store, and each metric, is moved by what it is there for; its help is what
// the README says or better; and no request adds a series of its own.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	o := &moving{asked: make(chan struct{}, 10), release: make(chan struct{})}
	p := serveConfig(t, fmt.Sprintf(outcomesConfig, newServer(t, o.serve)))
	var wg sync.WaitGroup
	slow := func(path string) { wg.Go(func() { tryCall("GET", p.data+path, "") }) }
	moves := []struct {
		// do is repeated until the metrics have moved: a client can have its answer a moment before the copy is there.
		do    func()
		moved []string
		once  bool
	}{
		{func() { get(t, p.data+"/cached/1") }, []string{
			`requests_total{code="2xx",outcome="miss",route="cached"}`, `request_seconds_count{outcome="miss",route="cached"}`,
			`origin_requests_total{reason="uri-miss",route="cached",upstream="shop"}`, `origin_seconds_count{upstream="shop"}`,
			`store_bytes{tier="memory"}`, `store_entries{tier="memory"}`}, false},
		{func() { get(t, p.data+"/cached/1") }, []string{
			`requests_total{code="2xx",outcome="hit",route="cached"}`, `request_seconds_count{outcome="hit",route="cached"}`}, false},
		{func() {
			wantReceipt(t, call(t, "POST", p.admin+"/purge", `{"keys":["k"],"soft":true}`))
			get(t, p.data+"/cached/1")
		}, []string{`purges_total{kind="key",source="admin"}`, `purge_seconds_count`, `requests_total{code="2xx",outcome="stale",route="cached"}`}, false},
		{func() { get(t, p.data+"/brief/etag"); get(t, p.data+"/brief/etag") }, []string{`requests_total{code="2xx",outcome="revalidated",route="brief"}`}, false},
		{func() { get(t, p.data+"/brief/changes"); get(t, p.data+"/brief/changes") }, []string{`changed_without_invalidation_total{route="brief"}`}, false},
		{func() { get(t, p.data+"/cached/private") }, []string{`not_stored_total{reason="private",route="cached"}`}, false},
		{func() { get(t, p.data+"/cached/1", "Authorization: Basic x") }, []string{
			`requests_total{code="2xx",outcome="pass",route="cached"}`, `origin_requests_total{reason="authorization",route="cached",upstream="shop"}`}, false},
		{func() { call(t, "POST", p.data+"/written", "x") }, []string{
			`requests_total{code="2xx",outcome="write",route="written"}`, `purges_total{kind="mixed",source="write"}`}, false},
		{func() { get(t, p.data+"/cached/dies") }, []string{`requests_total{code="5xx",outcome="error",route="cached"}`}, false},
		{func() { get(t, p.data+"/watched/1") }, []string{`requests_total{code="2xx",outcome="would_miss",route="watched"}`}, false},
		{func() { get(t, p.data+"/watched/1") }, []string{`requests_total{code="2xx",outcome="would_hit",route="watched"}`}, false},
		{func() { get(t, p.data+"/watched/changes"); get(t, p.data+"/watched/changes") }, []string{`requests_total{code="2xx",outcome="would_differ",route="watched"}`}, false},
		{func() { get(t, p.data+"/cached/1", "X-Flag: 1") }, []string{`bypassed_total{kind="header",name="X-Flag",route="cached"}`}, false},
		{func() { get(t, p.data+"/watched/1", "X-Flag: 1") }, []string{`bypassed_compared_total{kind="header",name="X-Flag",result="same",route="watched"}`}, false},
		{func() {
			get(t, p.data+"/cached/1", "Accept-Language: de")
			get(t, p.data+"/cached/1", "Accept-Language: fr")
		}, []string{`variants_compared_total{name="Accept-Language",result="same",route="cached"}`}, false},
		{func() { sendRaw(t, p.data, "nonsense\r\n\r\n") }, []string{`requests_rejected_total{code="400"}`}, false},
		{func() { get(t, p.data+"/no/route") }, []string{`requests_total{code="2xx",outcome="pass",route="(unmatched)"}`}, false},
		{func() { slow("/narrow/slow"); <-o.asked }, []string{`origin_in_flight{upstream="narrow"}`}, true},
		{func() { get(t, p.data+"/narrow/1") }, []string{`requests_total{code="5xx",outcome="shed",route="narrow"}`, `shed_total{upstream="narrow"}`}, false},
		{func() {
			slow("/cached/slow")
			<-o.asked
			res, err := client.Get(p.data + "/cached/slow")
			if err != nil {
				t.Fatal(err)
			}
			close(o.release)
			res.Body.Close()
			wg.Wait()
		}, []string{`requests_total{code="2xx",outcome="collapsed",route="cached"}`, `coalesced_total{route="cached"}`}, true},
		{func() {
			for i := range 10 {
				get(t, p.data+"/cached/"+strconv.Itoa(i)+"/large")
			}
		}, []string{`evictions_total{tier="memory"}`}, false},
		{func() { call(t, "POST", p.admin+"/routes/cached/mode", `{"mode":"off"}`) }, []string{`mode{route="cached"}`}, false},
	}
	for _, m := range moves {
		before := map[string]string{}
		for _, name := range m.moved {
			before[name] = metric(t, p, "cacheproxy_"+name)
		}
		if m.once {
			m.do()
		}
		for _, name := range m.moved {
			eventually(t, name+" moves", func() bool {
				if !m.once {
					m.do()
				}
				after, err := strconv.ParseFloat(metric(t, p, "cacheproxy_"+name), 64)
				was, _ := strconv.ParseFloat(before[name], 64) // a series that is not there yet is at 0
				return err == nil && after > was
			})
		}
	}
	if got := metric(t, p, `cacheproxy_origin_requests_total{reason="bypass",route="narrow",upstream="narrow"}`); got != "1" {
		t.Errorf("requests counted as sent to an upstream without a place: %s, want the one that had it", got)
	}
	wantNoSeriesOfItsOwn(t, p)
}

// wantNoSeriesOfItsOwn sends requests that differ in all that a client chooses.
func wantNoSeriesOfItsOwn(t *testing.T, p *process) {
	t.Helper()
	send := func(n int) {
		for i := range n {
			for _, method := range []string{"GET", "POST", "M" + strconv.Itoa(i)} {
				path := fmt.Sprintf("/cached/%d?p%d=%d", i, i, i)
				call(t, method, p.data+path, "", fmt.Sprintf("Host: h%d.example", i), fmt.Sprintf("X-H%d: x", i))
				call(t, method, p.data+fmt.Sprintf("/none/%d", i), "", fmt.Sprintf("Host: h%d.example", i))
			}
		}
	}
	count := func() int { return strings.Count(get(t, p.admin+"/metrics").body, "\ncacheproxy_") }
	send(1)
	before := count()
	send(20)
	if after := count(); after != before {
		t.Errorf("%d series have become %d", before, after)
	}
}

// Every metric that the program shows is explained in docs/operations.md, and the other way round.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	valkey := fmt.Sprintf("valkey: {url: \"valkey://%s\"}\n", servers.Valkey(t, servers.ValkeyOptions{}).Address())
	postgres := fmt.Sprintf("postgres: {url: \"postgres://cacheproxy@%s/shop\", feeds: [{table: product, tags: [products]}]}\n", nobody(t))
	board := `  - name: scores
    match: ["POST board.test/scores", "GET board.test/leaderboard"]
    policy: leaderboard
    leaderboard: {board: all, window: 24h, authorize: none, archive: {}}
  - {name: edit, match: "PUT /products/{id}", policy: bypass, serialize_writes: true}
  - name: unarchived
    match: ["POST unarchived.test/scores", "GET unarchived.test/leaderboard"]
    policy: leaderboard
    leaderboard: {board: all, window: 24h, authorize: none}
`
	p := serveConfig(t, fmt.Sprintf(shopConfig, newOrigin(t).url)+board+valkey+postgres)
	fill(t, p)
	call(t, "POST", p.data+"/scores", `{"player": "ada", "score": 1}`, "Host: unarchived.test", "Content-Type: application/json")
	call(t, "PUT", p.data+"/products/1", "{}")
	call(t, "GET", p.data+"/leaderboard", "", "Host: unarchived.test")
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`(cacheproxy_[a-z_]+)").FindAllStringSubmatch(section, -1) {
		documented[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^# HELP (cacheproxy_\S+) (.*)$`).FindAllStringSubmatch(get(t, p.admin+"/metrics").body, -1) {
		if !documented[m[1]] {
			t.Errorf("%s (%s) is not in docs/operations.md", m[1], m[2])
		}
		delete(documented, m[1])
		if !strings.HasSuffix(m[2], ".") || len(m[2]) < 20 {
			t.Errorf("%s: help %q does not explain", m[1], m[2])
		}
	}
	for name := range documented {
		// Without a request that was not stored, went past the cache by name, purged and so on, without TLS, without queued writes and before the first look at what boards take, a metric with labels has no series and
		// no help yet.
		if !strings.Contains("cacheproxy_not_stored_total cacheproxy_bypassed_total cacheproxy_bypassed_compared_total cacheproxy_variants_compared_total cacheproxy_purges_total cacheproxy_certificate_expiry_timestamp_seconds cacheproxy_write_behind_queued cacheproxy_write_behind_flush_seconds cacheproxy_write_behind_retries_total cacheproxy_write_behind_dead_letters_total cacheproxy_leaderboard_boards cacheproxy_leaderboard_bytes", name) {
			t.Errorf("%s is in docs/operations.md and not shown", name)
		}
	}
}
