package config

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/policy"
	"cacheproxy/test/certificates"
)

func TestValkeyServer(t *testing.T) {
	for _, c := range []struct {
		section string
		want    valkey.Server
		shown   string
	}{
		{`url: valkey://127.0.0.1`, valkey.Server{Addresses: []string{"127.0.0.1:6379"}}, "valkey://127.0.0.1:6379"},
		{`url: "redis://app:p%40ss%3A@cache.internal:7000/3"`, valkey.Server{
			Addresses: []string{"cache.internal:7000"}, Username: "app", Password: "p@ss:", Database: 3,
		}, "valkey://cache.internal:7000/3"},
		{`url: "valkey://:se@c:ret/x@a,[::1]:2,b:3/"`, valkey.Server{Addresses: []string{"a:6379", "[::1]:2", "b:3"}, Password: "se@c:ret/x"},
			"valkey://a:6379,[::1]:2,b:3"},
		{"url: valkey://[fe80::1]\n  username: app\n  password: 100%@/", valkey.Server{Addresses: []string{"[fe80::1]:6379"}, Username: "app", Password: "100%@/"},
			"valkey://[fe80::1]:6379"},
		{"sentinel: {master: m, addresses: [a, \"b:1\"], username: s, password: t}\n  password: u", valkey.Server{
			Addresses: []string{"a:26379", "b:1"}, Password: "u", Sentinel: &valkey.Sentinel{Master: "m", Username: "s", Password: "t"},
		}, "sentinel m at a:26379,b:1"},
	} {
		s := mustLoad(t, "valkey:\n  "+c.section+"\n"+oneUpstream)
		if !reflect.DeepEqual(s.Valkey.Server, c.want) {
			t.Errorf("%s\n%+v, want %+v", c.section, s.Valkey.Server, c.want)
		}
		if got := s.Valkey.Shown(); got != c.shown {
			t.Errorf("shown as %s, want %s", got, c.shown)
		}
	}
}

func TestValkeyTLS(t *testing.T) {
	dir, authority := t.TempDir(), certificates.NewAuthority(t, "authority")
	authority.Write(dir, "client", "client")
	write(t, filepath.Join(dir, "ca.pem"), string(authority.PEM))
	file := filepath.Join(dir, "cacheproxy.yaml")
	read := func(section string) *Snapshot {
		t.Helper()
		write(t, file, oneUpstream+"valkey:\n  "+section+"\n")
		s, err := Load(file, Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if c := read("url: valkeys://a").Valkey.Server.TLS; c == nil || c.RootCAs != nil || len(c.Certificates) > 0 {
		t.Errorf("valkeys:// alone: %+v", c)
	}
	if c := read("sentinel: {master: m, addresses: [a]}").Valkey.Server.TLS; c != nil {
		t.Errorf("sentinel alone: %+v", c)
	}
	if c := read("sentinel: {master: m, addresses: [a]}\n  tls: {}").Valkey.Server.TLS; c == nil || c.RootCAs != nil {
		t.Errorf("sentinel over TLS: %+v", c)
	}
	before := read("url: rediss://a\n  tls: {ca: ca.pem, cert: cert.pem, key: key.pem, server_name: b}")
	if c := before.Valkey.Server.TLS; c == nil || c.RootCAs == nil || len(c.Certificates) != 1 || c.ServerName != "b" {
		t.Errorf("in full: %+v", c)
	}
	authority.Write(dir, "client", "client")
	after := read("url: rediss://a\n  tls: {ca: ca.pem, cert: cert.pem, key: key.pem, server_name: c}")
	if got := changesOf(t, before, after); got != "valkey.tls.cert changed, valkey.tls.key changed, !valkey.tls.server_name changed" {
		t.Errorf("changes: %s", got)
	}
}

func TestValkeyValues(t *testing.T) {
	s := mustLoad(t, oneUpstream+"valkey: {url: \"valkey://127.0.0.1\"}\n")
	want := &Valkey{Server: valkey.Server{Addresses: []string{"127.0.0.1:6379"}}, Prefix: "cacheproxy", Timeout: 50 * time.Millisecond, Lease: 3 * time.Second}
	if !reflect.DeepEqual(s.Valkey, want) {
		t.Errorf("defaults: %+v", s.Valkey)
	}
	s = mustLoad(t, `
valkey: {url: "valkey://a,b", prefix: "shop:v1", timeout: 20ms, lease: 500ms, required: true, durability: replicas, compress: zstd, instance: pod-7}
upstreams:
  - {name: primary, url: "http://127.0.0.1:9000", max_in_flight: 64, fleet_max_in_flight: 24}
  - {name: replica, url: "http://127.0.0.1:9001", max_in_flight: 64, settle: 2s}
  - {name: slow, url: "http://127.0.0.1:9002", max_in_flight: 64, settle: 7s}
routes:
  - {name: a, match: /a, upstream: replica, policy: cache-aside, ttl: 1s, on_lease_loss: serve_stale, lease_loss_max: 60s}
  - {name: b, match: /b, upstream: primary, policy: cache-aside, ttl: 1s}
`)
	v := s.Valkey
	if v.Prefix != "shop:v1" || v.Timeout != 20*time.Millisecond || v.Lease != 500*time.Millisecond || !v.Required || v.Replicas != 1 || !v.Compress ||
		v.Instance != "pod-7" || !v.Cluster() {
		t.Errorf("values: %+v", v)
	}
	a, b := s.Route("a"), s.Route("b")
	if a.Settle != 2*time.Second || a.OnLeaseLoss != policy.LeaseLossServeStale || a.LeaseLossMax != time.Minute || b.Settle != 0 || b.OnLeaseLoss != policy.LeaseLossOrigin {
		t.Errorf("routes: %+v, %+v", a, b)
	}
	if s.Upstreams[0].FleetMaxInFlight != 24 || s.LongestSettle() != 7*time.Second {
		t.Errorf("upstreams: %d, %v", s.Upstreams[0].FleetMaxInFlight, s.LongestSettle())
	}
	if len(s.Warnings) != 1 || s.Warnings[0].Path != "routes[0].on_lease_loss" || !strings.Contains(s.Warnings[0].Text, "1m0s whatever was purged") {
		t.Errorf("warnings: %v", s.Warnings)
	}
}

// One file may serve with and without the shared server: what needs it is a warning.
func TestWithoutValkey(t *testing.T) {
	s := mustLoad(t, `
upstreams: [{name: api, url: "http://127.0.0.1:9000", max_in_flight: 64, fleet_max_in_flight: 24, settle: 1s}]
routes: [{name: a, match: /a, policy: cache-aside, ttl: 1s, on_lease_loss: serve_stale, lease_loss_max: 60s}]
`)
	if s.Valkey != nil || s.Route("a").Settle != time.Second {
		t.Errorf("%+v, %+v", s.Valkey, s.Route("a"))
	}
	if len(s.Warnings) != 2 || !strings.Contains(s.Warnings[0].Text, "no effect without valkey") || !strings.Contains(s.Warnings[1].Text, "no effect without valkey") {
		t.Errorf("warnings: %v", s.Warnings)
	}
	t.Setenv("CACHEPROXY_VALKEY_TIMEOUT", "10ms")
	if _, err := load1(t, oneUpstream); err == nil || !strings.Contains(err.Error(), "environment CACHEPROXY_VALKEY_TIMEOUT: no server is named") {
		t.Errorf("a timeout of no server: %v", err)
	}
	t.Setenv("CACHEPROXY_VALKEY_URL", "valkey://127.0.0.1:7000")
	if s, err := load1(t, oneUpstream); err != nil || s.Valkey == nil || s.Valkey.Timeout != 10*time.Millisecond || s.Valkey.Shown() != "valkey://127.0.0.1:7000" {
		t.Errorf("from the environment: %+v, %v", s, err)
	}
}

func TestValkeySecretsAreNotShown(t *testing.T) {
	s := mustLoad(t, oneUpstream+"valkey: {sentinel: {master: m, addresses: [a], password: hunter2hunter2}, username: app, password: hunter2hunter2}\n")
	other := mustLoad(t, oneUpstream+"valkey: {url: \"valkey://app:hunter2hunter2@a\"}\n")
	text, err := json.Marshal([]View{s.View(s), other.View(other)})
	if err != nil {
		t.Fatal(err)
	}
	all := string(text) + s.Valkey.Shown() + other.Valkey.Shown() + fmt.Sprint(other.Changes(s))
	if strings.Contains(all, "hunter2") || !strings.Contains(all, `"username":"app"`) {
		t.Errorf("shown: %s", all)
	}
}
