package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "10m": 10 * time.Minute, "24h": 24 * time.Hour, "1h30m": 90 * time.Minute,
		"0s": 0, "87600h": maxDuration,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10", "7d", "-1s", "87601h", "9999999999999h", "1 m", "m"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0B": 0, "64KiB": 64 << 10, "8MiB": 8 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40, "1kB": 1000, "1KB": 1000,
		"5MB": 5e6, "1GB": 1e9, "1TB": 1e12,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "8", "8M", "8mib", "-8MiB", "1.5MiB", "MiB", "9999999999999TiB", "99999999999999999999B", "8 MiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %v", text, got)
		}
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]float64{"0%": 0, "10%": 0.1, "12.5%": 0.125, "100%": 1} {
		if got, err := parseShare(text); err != nil || got != want {
			t.Errorf("parseShare(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "%", "10", "0.1", "-1%", "100.1%", "NaN%", "1e1%", "10 %"} {
		if got, err := parseShare(text); err == nil {
			t.Errorf("parseShare(%q) = %v", text, got)
		}
	}
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_CACHEPROXY", "value")
	t.Setenv("TEST_CACHEPROXY_EMPTY", "")
	t.Setenv("TEST_CACHEPROXY_NESTED", "${TEST_CACHEPROXY}")
	for text, want := range map[string]string{
		"":                                       "",
		"plain $ { } $x":                         "plain $ { } $x",
		"${TEST_CACHEPROXY}":                     "value",
		"a${TEST_CACHEPROXY}b${TEST_CACHEPROXY}": "avaluebvalue",
		"${TEST_CACHEPROXY_EMPTY}":               "",
		"${TEST_CACHEPROXY_EMPTY:-d}":            "d",
		"${TEST_CACHEPROXY_NONE:-d e}":           "d e",
		"${TEST_CACHEPROXY_NONE:-}":              "",
		"${TEST_CACHEPROXY_NESTED}":              "${TEST_CACHEPROXY}",
		"$${TEST_CACHEPROXY}":                    "${TEST_CACHEPROXY}",
		"${file:secret}":                         "s3cret",
		"${file:" + dir + "/secret}!":            "s3cret!",
	} {
		if got, err := newFiles(dir).expand(text); err != nil || got != want {
			t.Errorf("expand(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"${", "${}", "${a b}", "${1A}", "${TEST_CACHEPROXY_NONE}", "${file:}", "${file:none}", "${file:.}"} {
		if got, err := newFiles(dir).expand(text); err == nil {
			t.Errorf("expand(%q) = %q", text, got)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, maxSecret+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newFiles(dir).expand("${file:large}"); err == nil {
		t.Error("a large file is filled in")
	}
}

// What is filled in is a value, never structure.
func TestExpandCannotInject(t *testing.T) {
	t.Setenv("TEST_CACHEPROXY", "json, level: debug}\nlisten: 0.0.0.0:80")
	_, err := load1(t, oneUpstream+"log: {format: \"${TEST_CACHEPROXY}\"}")
	want := `cacheproxy.yaml:2: log.format: "${TEST_CACHEPROXY}" (as filled in) is not known here; write json, text or off`
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v", err)
	}
}

// A word that stands in the place of a list or a section is a value like any other: it may be filled in.
func TestWordsAreFilledIn(t *testing.T) {
	t.Setenv("TEST_CACHEPROXY", "all")
	s, err := load1(t, oneUpstream+`
records: {url: memory}
admin: {tokens: [{name: a, token: 0123456789abcdef, sites: [a.example], tags: "${TEST_CACHEPROXY}", allow: [purge]}]}
routes:
  - {name: a, match: /a, policy: cache-aside, ignore_cookies: "${TEST_CACHEPROXY}"}
  - {name: b, match: /b, policy: bypass, invalidates: "${TEST_CACHEPROXY_UNSET:-none}"}
  - name: c
    match: [POST /c, GET /c]
    policy: leaderboard
    leaderboard: {board: "{host}", window: 1h, authorize: "${TEST_CACHEPROXY_UNSET:-none}"}
`)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Admin.Tokens[0].AnyTags || !s.Routes[0].IgnoreAllCookies || !s.Routes[1].Invalidates.Nothing || s.Boards["c"].AuthorizeUpstream != "" {
		t.Errorf("tags %t, cookies %t, nothing %t", s.Admin.Tokens[0].AnyTags, s.Routes[0].IgnoreAllCookies, s.Routes[1].Invalidates.Nothing)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"listen", "ttl", "stale_if_error", "tags"}
	for text, want := range map[string]string{
		"lisen": "listen", "Listen": "listen", "tll": "ttl", "stale_if_errors": "stale_if_error", "tag": "tags",
		"valkey": "", "x": "", strings.Repeat("x", 1000): "",
	} {
		if got := nearest(text, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", text, got, want)
		}
	}
}

// Whatever other machines can reach needs tokens.
func TestAdminAddressNeedsTokens(t *testing.T) {
	for address, safe := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "admin.internal:1": false,
	} {
		if _, err := load1(t, oneUpstream+"admin: {listen: \""+address+"\"}"); (err == nil) != safe {
			t.Errorf("%s: %v", address, err)
		}
	}
}
