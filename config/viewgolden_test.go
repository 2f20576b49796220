package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cacheproxy/test/certificates"
)

// policyViews has a route for each policy, with nothing that need not be said, and a request header from a proxy in front.
const policyViews = oneUpstream + `
trusted_proxies: [10.1.2.3/8, "::1"]
proxy_protocol: [192.0.2.0/24]
admin: {tokens: [{name: a, token: 0123456789abcdef, allow: [all]}, {name: b, token: fedcba9876543210, allow: [read, purge]}]}
memory: {size: 1GB}
tracing: {endpoint: "http://127.0.0.1:4318"}
valkey: {url: "valkey://u:p@a/3", tls: {}}
routes:
  - {name: aside, match: GET /a, policy: cache-aside, headers: [b-b, a-a], query: {exclude: [x]}, mode_share: 100%, max_waiters: 3}
  - {name: read, match: GET /b, policy: read-through, on_lease_loss: serve_stale, lease_loss_max: 1s, targeted_cache_control: []}
  - {name: write, match: /c, policy: write-through, ignore_cookies: all, ignore_headers: [y-b, y-a], store_if: {content_type: [B/c, a/*]}}
  - {name: ahead, match: /d, policy: refresh-ahead, override: [private, no-cache, private], on_write: store, min_hits: 0, ttl: 1h30m}
  - {name: pass, match: /e, policy: bypass, invalidates: {keys: ["{header.x}"], otherwise: {routes: [aside]}}}
  - {name: rank, match: [POST h.example/g, GET h.example/g], policy: leaderboard, leaderboard: {board: all, window: all-time, authorize: none}}
  - {name: ask, match: POST /f, policy: cache-aside, content: {}, key: "{header.z-z}{cookie.c}", jitter: 0%}
`

// What GET /config shows of these, in full.
func TestViewGolden(t *testing.T) {
	dir, authority := t.TempDir(), certificates.NewAuthority(t, "authority")
	authority.Write(dir, "server", "localhost")
	write(t, filepath.Join(dir, "ca.pem"), string(authority.PEM))
	example, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plain": plainView, "full": fullViews[0], "sentinel": fullViews[1], "example": string(example),
		"policies": strings.Replace(policyViews, "valkey://", "valkeys://", 1),
	} {
		t.Run(name, func(t *testing.T) {
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
			var b bytes.Buffer
			if err := json.Indent(&b, shown, "", "  "); err != nil {
				t.Fatal(err)
			}
			got := expires.ReplaceAllString(strings.ReplaceAll(b.String()+"\n", dir, "DIR"), `"expires": "LATER"`)
			got = lineNumber.ReplaceAllString(got, ".yaml:N:")
			golden(t, "testdata/view/"+name+".json", got)
		})
	}
}

var (
	expires    = regexp.MustCompile(`"expires": "[^"]*"`)
	lineNumber = regexp.MustCompile(`\.yaml:[0-9]+:`)
)
