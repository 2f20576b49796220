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
limits:
  {max_connections: 2, max_connections_per_client: 1, read_header_timeout: 3s, idle_timeout: 4s, body_timeout: 5s, write_timeout: 6s,
   max_header_bytes: 7KiB, max_body: 8MiB}
admin:
  listen: 127.0.0.1:2
  tls: {cert: cert.pem, key: key.pem, min_version: "1.3"}
  tokens: [{name: ci, token: hunter2-0123456789, allow: [purge, read]}]
log: {format: text, level: warn, hits: 2%, others: 3%}
tracing: {endpoint: "http://127.0.0.1:4318", sample: 4%, service: shop, headers: {Authorization: Bearer hunter2}}
memory: {size: 100MiB, max_object: 1MiB}
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
upstreams:
  - name: full
    url: "https://10.0.0.1"
    host: api.example.com
    health: {path: "/health?token=hunter2", interval: 3s, timeout: 1s}
    timeout: 9s
    connect_timeout: 1s
    read_timeout: 8s
    max_connection_age: 7s
    max_in_flight: 3
    max_queue: 4
    queue_timeout: 5s
    max_streams: 6
    fleet_max_in_flight: 7
    settle: 1s
    ca: ca.pem
    cert: cert.pem
    key: key.pem
    server_name: api.internal
routes:
  - name: full
    match: ["GET /full/{id}", "PUT /full/{id}"]
    where: {id: "[0-9]+"}
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
    on_lease_loss: serve_stale
    lease_loss_max: 60s
    invalidates:
      {keys: ["{body.id}"], tags: [t], urls: [/x], prefixes: [/y], routes: [full],
       otherwise: {keys: [k], tags: [t], urls: [/x], prefixes: [/y], routes: [full]}}
  - {name: ahead, match: [GET /ahead, PUT /ahead], upstream: full, policy: refresh-ahead, refresh_at: 50%, min_hits: 9, failed_writes: keep, store_down: reject}
  - {name: content, match: POST /content, upstream: full, policy: cache-aside, unlisted_headers: drop, content: {max: 1KiB, graphql: true}}
`, `
cache_status_key: true
h2c: true
valkey: {sentinel: {master: m, addresses: [a, b], username: s, password: hunter2}, password: hunter2}
` + oneUpstream,
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
		shown, err := json.Marshal(s.View())
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
