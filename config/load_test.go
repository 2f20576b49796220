package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

var update = flag.Bool("update", false, "write golden files, the reference and the schema")

// Each file in testdata/bad breaks one rule or a few that belong together; the .txt beside it has the exact problems.
func TestBadFiles(t *testing.T) {
	t.Setenv("TEST_CACHEPROXY_SECRET", "hunter2hunter2")
	t.Chdir("testdata/bad")
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			_, err := Load(file, Overrides{})
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("Load = %v, want problems", err)
			}
			got := problems.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret is printed:\n%s", got)
			}
		})
	}
}

// load1 loads text as if it stood in a file.
func load1(t *testing.T, text string) (*Snapshot, error) {
	t.Helper()
	return Parse("cacheproxy.yaml", []byte(text), Overrides{})
}

// mustLoad is load1 of a valid text.
func mustLoad(t *testing.T, text string) *Snapshot {
	t.Helper()
	s, err := load1(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const oneUpstream = "upstreams: [{name: api, url: \"http://127.0.0.1:9000\"}]\n"

// Every relaxed safety has a warning with its line.
func TestWarnings(t *testing.T) {
	t.Chdir("testdata")
	s, err := Load("warnings.yaml", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	got := s.Warnings.Error() + "\n"
	if *update {
		if err := os.WriteFile("warnings.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("warnings.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	quiet := mustLoad(t, oneUpstream+"routes: [{name: a, match: /a, policy: cache-aside, ttl: 48h, tags: [a], ignore_cookies: []}]")
	if len(quiet.Warnings) != 1 || quiet.Warnings[0].Path != "upstreams[0].max_in_flight" {
		t.Errorf("warnings about nothing: %v", quiet.Warnings)
	}
}

// What proxies say of the way tells copies apart only where some are believed.
func TestWarningOfWordsThatNobodyIsBelieved(t *testing.T) {
	for trusted, warned := range map[string]bool{"": true, "trusted_proxies: private\n": false} {
		s := mustLoad(t, trusted+oneUpstream+"routes: [{name: a, match: /a, policy: cache-aside, headers: [X-Tenant, X-Forwarded-For]}]")
		if got := s.Warnings.Error(); strings.Contains(got, "routes[0].headers[1]: X-Forwarded-For is taken off") != warned || strings.Contains(got, "headers[0]") {
			t.Errorf("%q: warnings %s", trusted, got)
		}
	}
}

func TestDefaults(t *testing.T) {
	s := mustLoad(t, oneUpstream)
	if s.Listen != "127.0.0.1:8080" || s.Admin.Listen != "127.0.0.1:8081" || s.DrainDelay != 5*time.Second {
		t.Errorf("listeners: %q, %q, %v", s.Listen, s.Admin.Listen, s.DrainDelay)
	}
	if s.Memory != (memory{Size: 512 << 20, MaxObject: 8 << 20}) {
		t.Errorf("memory: %+v", s.Memory)
	}
	if s.Log != (Log{Format: LogJSON, Level: slog.LevelInfo, Hits: 0.01, Others: 1}) {
		t.Errorf("log: %+v", s.Log)
	}
	limits := server.Limits{
		ReadHeaderTimeout: server.DefaultReadHeaderTimeout, IdleTimeout: server.DefaultIdleTimeout, BodyTimeout: server.DefaultBodyTimeout,
		WriteTimeout: server.DefaultWriteTimeout, MaxHeaderBytes: server.DefaultMaxHeaderBytes, MaxConnections: server.DefaultMaxConnections,
	}
	if s.Limits != limits {
		t.Errorf("limits %+v are not those of a server that is told nothing, %+v", s.Limits, limits)
	}
	if s.TLS != nil || s.H2C || s.CacheStatus.Key || len(s.TrustedProxies)+len(s.Routes) > 0 || s.Table == nil {
		t.Errorf("the rest: %+v", s)
	}
	api, ok := s.Upstream("api")
	want := upstream.Options{
		Name: "api", URL: api.URL, Timeout: time.Minute, MaxQueue: 256, QueueTimeout: time.Second,
		DialTimeout: 3 * time.Second, ReadTimeout: time.Minute, MaxConnectionAge: time.Minute, Replicas: []*url.URL{},
	}
	if !ok || !reflect.DeepEqual(api, want) || api.URL.String() != "http://127.0.0.1:9000" {
		t.Errorf("upstream: %+v", api)
	}
	if len(s.Warnings) != 2 || s.Warnings[0].Path != "upstreams[0].max_in_flight" || s.Warnings[1].Path != "routes" {
		t.Errorf("nothing cached, warnings: %v", s.Warnings)
	}
}

func TestValues(t *testing.T) {
	s := mustLoad(t, `
listen: "[::1]:0"
trusted_proxies: [10.1.2.3/8, "::1", 192.0.2.1]
log: {format: text, level: warn, hits: 12.5%, others: 0%}
memory: {size: 1GB, max_object: 64KiB}
admin:
  listen: 0.0.0.0:8081
  tokens:
    - {name: cms, token: 0123456789abcdef, allow: [purge, read]}
    - {name: sre, token: fedcba9876543210, allow: [all]}
upstreams:
  - {name: api, url: "h2c://api:9000/", host: api.example, max_in_flight: 1, max_queue: 0, max_streams: 0, timeout: 2s}
  - {name: web, url: "https://web.example", host: upstream, timeout: 30s}
  - {name: many, url: ["http://10.0.0.1:9000", "http://10.0.0.2:9000"], health: {path: "/up?deep"}, connect_timeout: 1s, read_timeout: 10s}
`)
	if got := fmt.Sprint(s.TrustedProxies); got != "[10.0.0.0/8 ::1/128 192.0.2.1/32]" {
		t.Errorf("trusted proxies: %s", got)
	}
	if s.Log != (Log{Format: LogText, Level: slog.LevelWarn, Hits: 0.125}) {
		t.Errorf("log: %+v", s.Log)
	}
	if s.Memory != (memory{Size: 1e9, MaxObject: 64 << 10}) {
		t.Errorf("memory: %+v", s.Memory)
	}
	cms, sre := s.Admin.Tokens[0], s.Admin.Tokens[1]
	if cms.Allow != AllowPurge|AllowRead || cms.Allow.Has(AllowMode) || string(cms.Secret) != "0123456789abcdef" {
		t.Errorf("token cms: %v", cms.Allow)
	}
	if !sre.Allow.Has(AllowPurge | AllowMode | AllowRead) {
		t.Errorf("token sre: %v", sre.Allow)
	}
	api, web := s.Upstreams[0], s.Upstreams[1]
	if api.MaxQueue != -1 || api.MaxStreams != -1 || api.Host.Literal != "api.example" || web.Host.Literal != "web.example" {
		t.Errorf("upstreams: %+v", s.Upstreams)
	}
	if api.DialTimeout != time.Second || web.DialTimeout != 3*time.Second || !web.HostOfAddress || api.HostOfAddress || web.Health.Path != "" {
		t.Errorf("upstreams: %+v", s.Upstreams)
	}
	many := s.Upstreams[2]
	if many.URL.Host != "10.0.0.1:9000" || len(many.Replicas) != 1 || many.Replicas[0].Host != "10.0.0.2:9000" ||
		many.Health != (upstream.HealthCheck{Path: "/up?deep", Interval: 2 * time.Second, Timeout: time.Second}) ||
		many.DialTimeout != time.Second || many.ReadTimeout != 10*time.Second {
		t.Errorf("several addresses: %+v", many)
	}
	text, err := json.Marshal(s.Admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{string(text), fmt.Sprintf("%v %+v %#v %s", s.Admin, s.Admin, s.Admin, cms.Secret)} {
		if strings.Contains(printed, "0123456789abcdef") {
			t.Errorf("a secret is printed: %s", printed)
		}
	}
}

// Aliases and merge keys: own keys win over merged ones, earlier merged ones over later.
func TestAliasesAndMerges(t *testing.T) {
	s := mustLoad(t, oneUpstream+`
routes:
  - &base {name: a, match: /a, policy: cache-aside, ttl: 1m, tags: &tags [x, y]}
  - &more {<<: *base, name: b, match: /b, ttl: 2m, negative_ttl: 3s}
  - {<<: [*base, *more], name: c, match: /c}
  - {name: d, match: /d, policy: cache-aside, tags: *tags}
`)
	a, b, c, d := s.Routes[0], s.Routes[1], s.Routes[2], s.Routes[3]
	if a.TTL != time.Minute || b.TTL != 2*time.Minute || c.TTL != time.Minute || c.NegativeTTL != 3*time.Second {
		t.Errorf("ttl: %v, %v, %v; negative_ttl: %v", a.TTL, b.TTL, c.TTL, c.NegativeTTL)
	}
	if len(b.Tags) != 2 || len(d.Tags) != 2 || d.Tags[1].String() != "y" {
		t.Errorf("tags: %v, %v", b.Tags, d.Tags)
	}
}

// Aliases in aliases must not unfold without bound.
func TestAliasBomb(t *testing.T) {
	text := "a0: &a0 {name: a}\n"
	for i := range 30 {
		text += fmt.Sprintf("a%d: &a%d {<<: [*a%d, *a%d]}\n", i+1, i+1, i, i)
	}
	_, err := load1(t, text+"log: {<<: *a30}\n")
	if err == nil || !strings.Contains(err.Error(), "merges too much") {
		t.Errorf("Load = %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), Overrides{})
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "read configuration: ") {
		t.Errorf("Load = %v", err)
	}
}
