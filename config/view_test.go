package config

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cacheproxy/test/certificates"
)

// plainView sets nothing that need not be set.
const plainView = oneUpstream + "routes: [{name: plain, match: /plain, policy: cache-aside}]\n"

// fullViews set every key, to something else than what holds without it.
var fullViews = []string{`
listen: 127.0.0.1:1
tls: {cert: cert.pem, key: key.pem, min_version: "1.3"}
trusted_proxies: [10.0.0.0/8]
proxy_protocol: [10.0.1.0/24]
reuse_port: true
drain_delay: 1s
shutdown_timeout: 2s
cache_status: key
tag_headers: [x-tags]
limits:
  {max_connections: 2, max_connections_per_client: 1, read_header_timeout: 3s, idle_timeout: 4s, body_timeout: 5s, write_timeout: 6s,
   max_header_bytes: 7KiB, max_body: 8MiB}
admin:
  listen: 127.0.0.1:2
  tls: {cert: cert.pem, key: key.pem, min_version: "1.3"}
  tokens:
    - {name: ci, token: hunter2-0123456789, allow: [purge, read]}
    - {name: cms, from: [10.0.3.7/24], sites: [shop.example], tags: [cat_], allow: [purge]}
log: {format: text, fields: otel, level: warn, hits: 2%, others: 3%}
tracing: {endpoint: "http://127.0.0.1:4318", protocol: grpc, sample: 4%, service: shop, headers: {Authorization: Bearer hunter2}, timeout: 3s}
memory: {size: 100MiB, max_object: 1MiB}
postgres:
  url: "postgres://app:hunter2@a:1,b:2/shop?sslmode=verify-full"
  password: hunter2-too
  poll: 20ms
  max_feed_lag: 20s
  feed_down_ttl: 40s
  notify: true
  on_error: lose
  feeds:
    - {table: '"a.b".c', on: [update], columns: [d], keys: ["k:{id}"], tags: ["t:{id}"], urls: ["/u/{id}"], prefixes: ["/p/{id}"], upstream: full, replicated: true}
valkey:
  url: "valkeys://a:1,b:2"
  username: app
  password: hunter2
  tls: {ca: ca.pem, cert: cert.pem, key: key.pem, server_name: cache.internal}
  prefix: shop
  timeout: 20ms
  lease: 4s
  required: true
  durability: replicas
  compress: zstd
  secrets: [hunter2-hunter2-hunter2-hunter2-]
  signatures: require
  instance: pod
records:
  url: "valkeys://r:1"
  username: scores
  password: hunter2
  tls: {ca: ca.pem, cert: cert.pem, key: key.pem, server_name: records.internal}
  prefix: scores
  timeout: 2s
shared_limits:
  - {name: db, max_in_flight: 8, max_queue: 9, queue_timeout: 10s, max_streams: 11, fleet_max_in_flight: 12, limit_passing: true}
upstreams:
  - {name: shared, url: "http://10.0.0.2", limit: db}
  - name: full
    url: "https://10.0.0.1"
    host: api.example.com
    health: {path: "/health?token=hunter2", interval: 3s, timeout: 1s}
    timeout: 9s
    connect_timeout: 1s
    read_timeout: 8s
    max_connection_age: 7s
    direct: false
    max_in_flight: 3
    max_queue: 4
    queue_timeout: 5s
    max_streams: 6
    fleet_max_in_flight: 7
    limit_passing: true
    settle: 1s
    ca: ca.pem
    cert: cert.pem
    key: key.pem
    server_name: api.internal
routes:
  - name: full
    match: ["GET /full/{id}", "PUT /full/{id}"]
    where: {id: "[0-9]+"}
    upstream: full
    policy: write-through
    mode: observe
    mode_share: 25%
    key: "p:{id}"
    tags: ["t:{id}"]
    query: {include: [page], exclude: [debug], sort: true, unlisted: drop}
    headers: [accept-language]
    cookies: [shop]
    forward_headers: all
    ttl: 10m
    jitter: 1%
    stale_while_revalidate: 30s
    stale_if_error: 5m
    negative_ttl: 10s
    override: [max-age, must-revalidate]
    store_if: {content_type: [image/*], min_bytes: 2}
    compression: br
    client_cache_control: honor
    targeted_cache_control: [Shop-Cache-Control]
    range: part
    ignore_headers: [x-client-*]
    ignore_cookies: [b]
    response: {set: {x-frame-options: DENY}, remove: [X-Powered-By]}
    strip_set_cookie: true
    share_authorized: true
    max_waiters: 7
    wait_timeout: 1s
    on_write: store
    store_down: forward
    fence_hold: 20s
    write_key: "w:{id}"
    serialize_writes: true
    on_lease_loss: serve_stale
    lease_loss_max: 60s
    invalidates:
      {keys: ["{body.id}"], tags: [t], urls: [/x], prefixes: [/y], routes: [full],
       otherwise: {keys: [k], tags: [t], urls: [/x], prefixes: [/y], routes: [full]}}
  - {name: counts, match: POST /counts, upstream: full, policy: bypass, invalidates: {nothing: true}}
  - {name: ahead, match: [GET /ahead, PUT /ahead], upstream: full, policy: refresh-ahead, refresh_at: 50%, min_hits: 9, failed_writes: keep, store_down: reject}
  - name: scores
    match: ["POST /games/{game}/scores", "GET /games/{game}/leaderboard"]
    upstream: full
    policy: leaderboard
    leaderboard:
      {board: "{game}", player: name, score: points, aggregate: lowest, ties: name, ranks: 10, window: week, bucket: 5m, time_zone: Europe/Berlin, min_score: 1,
       max_score: 10, max_boards: 3, max_batch: 4, remember: 1h, durability: fsync, authorize: {upstream: full, path: /may-score},
       answer: {board: "{entries}", entry: "{player}", player: "{rank}", receipt: "{score}"}, archive: {submissions: true, retention: 9600h}}
  - {name: content, match: POST /content, upstream: full, policy: cache-aside, unlisted_headers: drop, content: {max: 1KiB, graphql: true}}
`, `
cache_status_key: true
h2c: true
hit_path: false
valkey: {sentinel: {master: m, addresses: [a, b], username: s, password: hunter2}, password: hunter2, secrets: [hunter2-hunter2-hunter2-hunter2-]}
records: {sentinel: {master: m, addresses: [a, b], username: s, password: hunter2}, password: hunter2}
` + oneUpstream + `
routes:
  - name: full
    match: ["GET /carts/{id}", "PUT /carts/{id}"]
    policy: write-behind
    write_behind:
      {status_path: /_writes/, authorize: {upstream: api, path: /may}, durability: replicas, max_queued: 3, max_per_key: 2, max_body: 1KiB, max_age: 1h,
       retry: idempotency-key, read_pending: overlay, patience: 3s}
`,
}

// Every key of the document is shown under its own name, with what it was set to, and no secret is.
func TestViewIsComplete(t *testing.T) {
	dir, authority := t.TempDir(), certificates.NewAuthority(t, "authority")
	authority.Write(dir, "server", "localhost")
	write(t, filepath.Join(dir, "ca.pem"), string(authority.PEM))
	view := func(text string) (values map[string][]string, all string) {
		t.Helper()
		file := filepath.Join(dir, "cacheproxy.yaml")
		write(t, file, text)
		s, err := Load(file, Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		shown, err := json.Marshal(s.View(s))
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := json.Unmarshal(shown, &tree); err != nil {
			t.Fatal(err)
		}
		values = map[string][]string{}
		flatten(values, tree, "")
		return values, string(shown)
	}
	without, _ := view(plainView)
	shown := map[string]string{}
	for _, text := range fullViews {
		values, all := view(text)
		if strings.Contains(all, "hunter2") {
			t.Errorf("a secret is shown: %s", all)
		}
		for path, list := range values {
			for _, value := range list {
				if !slices.Contains(without[path], value) {
					shown[path] = value
				}
			}
		}
	}
	top.walk("", inherited, func(path string, k *key, _ effect) {
		value, ok := shown[path]
		switch {
		case k.is.keys != nil:
		case !ok:
			t.Errorf("%s is not shown, or not what it is set to; write it in fullViews", path)
		case (k.is == aSecret || k.is == secretsByName || k.is == secretList) && !strings.Contains(value, secret("").String()):
			t.Errorf("%s: %q", path, value)
		}
	})
	for _, path := range []string{"admin.tokens.token", "valkey.password", "valkey.secrets", "valkey.sentinel.password", "tracing.headers"} {
		if !strings.Contains(shown[path], secret("").String()) {
			t.Errorf("%s: %q", path, shown[path])
		}
	}
}

// A view can be printed with < and & as they are.
func TestViewIsNotEscaped(t *testing.T) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(View{{"a", 1}, {"b", View{{"c", "<&>"}, {"d", []View(nil)}}}}); err != nil || b.String() != `{"a":1,"b":{"c":"<&>","d":null}}`+"\n" {
		t.Errorf("%s %v", b.String(), err)
	}
}

// flatten lists the values in a tree by path, without the places in lists.
func flatten(values map[string][]string, node any, path string) {
	values[path] = append(values[path], fmt.Sprint(node))
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			flatten(values, value, join(path, key))
		}
	case []any:
		for _, value := range node {
			if _, section := value.(map[string]any); section {
				flatten(values, value, path)
			}
		}
	}
}

// What is shown is in force: what waits for a restart is shown with the value that the process began with, and beside it.
func TestViewOfWhatWaits(t *testing.T) {
	dir := t.TempDir()
	certificates.NewAuthority(t, "authority").Write(dir, "server", "localhost")
	parse := func(t *testing.T, text string) *Snapshot {
		t.Helper()
		s, err := Parse(dir+"/x.yaml", []byte(text+"upstreams: [{name: api, url: 'http://127.0.0.1:9000'}]\n"), Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	show := func(v View) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct{ about, before, after, waiting, inForce, not string }{
		{"nothing", "", "", "{}", "", "\x00"},
		{"after a reload", "", "drain_delay: 7s\n", "{}", `"drain_delay":"7s"`, "\x00"},
		{"at the start", "", "listen: ':9090'\n", `{"listen":":9090"}`, `"listen":"127.0.0.1:8080"`, ":9090"},
		{"a section with both", "", "limits: {max_connections: 7, max_body: 8MiB}\n", `{"limits.max_connections":7}`, `"max_connections":10000`, `"max_connections":7`},
		{"a section with both, the other", "", "limits: {max_connections: 7, max_body: 8MiB}\n", `{"limits.max_connections":7}`, `"max_body":8388608`, "\x00"},
		{"a section that comes", "", "tracing: {endpoint: 'http://c:1'}\n", `{"tracing.endpoint":"http://c:1"}`, "", "tracing"},
		{"a section that goes", "tracing: {endpoint: 'http://c:1'}\n", "", `{"tracing.endpoint":null}`, `"tracing":{"endpoint":"http://c:1"`, "\x00"},
		{"a section that is switched on", "", "tls: {cert: cert.pem, key: key.pem}\n", `{"tls":{"cert":"`, "", `"tls":{"cert"`},
		{"a section that is switched off", "tls: {cert: cert.pem, key: key.pem}\n", "", `{"tls":null}`, `"tls":{"cert":"`, "\x00"},
		{"a secret", "tracing: {endpoint: 'http://c:1'}\n", "tracing: {endpoint: 'http://c:1', headers: {A: hunter2}}\n", `{"tracing.headers":{"A":"[redacted]"}}`, "", "hunter2"},
	} {
		t.Run(c.about, func(t *testing.T) {
			start := parse(t, c.before)
			now := parse(t, c.after)
			view, waiting := show(now.View(start)), show(now.Waiting(start))
			if !strings.HasPrefix(waiting, c.waiting) {
				t.Errorf("waiting %s, want %s", waiting, c.waiting)
			}
			if !strings.Contains(view, c.inForce) || strings.Contains(view, c.not) {
				t.Errorf("in force %s: want %s and not %s", view, c.inForce, c.not)
			}
		})
	}
}
