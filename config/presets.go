package config

import (
	"crypto/tls"
	"log/slog"
	"slices"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// defaults is the document of a file that says nothing.
func defaults() *document {
	return &document{
		Listen:     "127.0.0.1:8080",
		DrainDelay: 5 * time.Second, ShutdownTimeout: 30 * time.Second,
		Limits: limitsDoc{
			MaxConnections: server.DefaultMaxConnections, HeaderTimeout: server.DefaultReadHeaderTimeout, IdleTimeout: server.DefaultIdleTimeout,
			BodyTimeout: server.DefaultBodyTimeout, WriteTimeout: server.DefaultWriteTimeout, MaxHeaderBytes: server.DefaultMaxHeaderBytes,
		},
		TLS:     tlsDoc{MinVersion: tls.VersionTLS12},
		Admin:   adminDoc{Listen: "127.0.0.1:8081", TLS: tlsDoc{MinVersion: tls.VersionTLS12}},
		Log:     logDoc{Format: LogJSON, Level: slog.LevelInfo, Hits: 0.01, Others: 1},
		Tracing: tracingDoc{Sample: 0.01, Service: "cacheproxy"},
		Memory:  memoryDoc{Size: memorySize{bytes: 512 << 20}, MaxObject: 8 << 20},
		Valkey:  valkeyDoc{Prefix: "cacheproxy", Timeout: defaultValkeyTimeout, Lease: defaultLease},
	}
}

// presets are what the policies stand for: each is a route that says nothing but its policy, for an upstream that says nothing.
// Nothing outside of this table asks what a policy is called. No policy has a TTL by itself: without one, copies live as long as
// the origin says. The jitter only ever shortens lifetimes that the route gives, and spreads the expiry of copies that were
// filled together.
var presets = []policy.Route{
	{Policy: policy.CacheAside, Caches: true, Jitter: 0.10, MaxWaiters: 10_000, Targets: targets},
	{Policy: policy.ReadThrough, Caches: true, RefusesReads: true, Jitter: 0.10, MaxWaiters: 10_000, Targets: targets},
	{Policy: policy.WriteThrough, Caches: true, FencesWrites: true, RefusesWrites: true, Jitter: 0.10, MaxWaiters: 10_000, Targets: targets},
	{Policy: policy.RefreshAhead, Caches: true, RenewsAhead: true, RefreshAt: 0.80, MinHits: 2, Jitter: 0.10, MaxWaiters: 10_000, Targets: targets},
	{Policy: policy.Bypass},
}

// targets are the response fields for caches like this one, in the order in which they are heeded.
var targets = []string{httpcache.TargetThis, httpcache.TargetCDN, httpcache.TargetSurrogate}

// presetOf is the row of a policy.
func presetOf(kind policy.Kind) policy.Route {
	return presets[slices.IndexFunc(presets, func(r policy.Route) bool { return r.Policy == kind })]
}

// preset is the row of a policy for an upstream. A request that waits for another's fill should not wait longer than the fill
// may take; a fence must outlast a write whose outcome is unknown, which the origin may still carry out after its timeout.
func preset(kind policy.Kind, upstream upstream.Options) *policy.Route {
	r := presetOf(kind)
	r.Host, r.FenceHold = upstream.Host, 2*upstream.Timeout
	if r.Caches {
		r.WaitTimeout = upstream.Timeout
	}
	return &r
}

// heeded says which policies heed a key; keys that are not here are heeded by all.
var heeded = []struct {
	keys     []string
	policies []policy.Kind
}{
	{
		[]string{
			"mode", "mode_share", "key", "tags", "query", "headers", "cookies", "forward_headers", "unlisted_headers", "ttl", "jitter",
			"stale_while_revalidate", "stale_if_error", "negative_ttl", "override", "store_if", "compression", "ignore_headers", "ignore_cookies",
			"strip_set_cookie", "share_authorized", "range", "max_waiters", "wait_timeout",
			"client_cache_control", "targeted_cache_control", "on_lease_loss", "lease_loss_max",
		},
		[]policy.Kind{policy.CacheAside, policy.ReadThrough, policy.WriteThrough, policy.RefreshAhead},
	},
	{[]string{"content"}, []policy.Kind{policy.CacheAside, policy.ReadThrough, policy.RefreshAhead}},
	{[]string{"refresh_at", "min_hits"}, []policy.Kind{policy.RefreshAhead}},
	{[]string{"failed_writes"}, []policy.Kind{policy.Bypass, policy.CacheAside, policy.ReadThrough, policy.RefreshAhead}},
	{[]string{"fence_hold"}, []policy.Kind{policy.WriteThrough}},
}

// unheeded reports keys that the route's policy does not heed.
func (l *loader) unheeded(path string, kind policy.Kind) {
	for _, group := range heeded {
		if slices.Contains(group.policies, kind) {
			continue
		}
		for _, key := range group.keys {
			if at := join(path, key); l.has(at) {
				l.problem(at, "has no effect with policy: %s; remove it, or use policy: %s", kind, oneOf(names(group.policies)))
			}
		}
	}
}

func names(list []policy.Kind) []string {
	words := make([]string, len(list))
	for i, kind := range list {
		words[i] = kind.String()
	}
	return words
}
