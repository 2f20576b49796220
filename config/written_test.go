package config

import (
	"testing"
	"time"
)

// What is written of a value is read as that value.
func TestTextsAreRead(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 75 * time.Second, time.Minute, time.Hour, 90 * time.Minute, 24 * time.Hour} {
		if got, err := parseDuration(DurationText(d)); err != nil || got != d {
			t.Errorf("%s is read as %v: %v", DurationText(d), got, err)
		}
	}
	for _, n := range []int64{0, 1, 1000, 1024, 1 << 20, 3 << 40} {
		if got, err := parseSize(SizeText(n)); err != nil || got != n {
			t.Errorf("%s is read as %d: %v", SizeText(n), got, err)
		}
	}
	for _, share := range []float64{0, 0.01, 0.125, 1} {
		if got, err := parseShare(ShareText(share)); err != nil || got != share {
			t.Errorf("%s is read as %v: %v", ShareText(share), got, err)
		}
	}
}

func TestWritten(t *testing.T) {
	s := mustLoad(t, `
memory: {size: 1GiB}
admin: {tokens: [{name: a, token: 0123456789abcdef, allow: [purge, read]}]}
upstreams: [{name: api, url: "http://127.0.0.1:9000", timeout: 90s, max_in_flight: 8, max_queue: 0, fleet_max_in_flight: 7}]
routes: [{name: a, match: /a, policy: cache-aside, jitter: 0%, override: [private, no-cache], ignore_cookies: all, store_if: {min_bytes: 2}}]
`)
	api, a := s.Entry("upstreams", "api"), s.Entry("routes", "a")
	for _, c := range []struct{ got, want string }{
		{s.Part("memory").Written(), "size 1GiB, max_object 8MiB"},
		{s.Part("log").Written("hits", "level"), "hits 1%, level info"},
		{s.Part("valkey").Written("password"), ""},
		{s.Part("limits").Unusual(), ""},
		{s.Part("limits").Written("max_connections", "max_body"), "max_connections 10000"},
		{api.Written("timeout", "connect_timeout", "max_queue"), "timeout 1m30s, connect_timeout 3s, max_queue 0"},
		{api.Written("fleet_max_in_flight"), ""}, // without effect
		{a.Unusual("jitter", "ttl", "override", "ignore_cookies"), "jitter 0%, override [no-cache, private], ignore_cookies all"},
		{a.Part("store_if").Written(), "min_bytes 2B"},
		{s.doc.Part("admin").sections("tokens")[0].Written(), "name a, token [redacted], allow [purge, read]"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
