package config

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// longTTL is the lifetime of copies beyond which check warns of a route without key and tags to purge them by.
const longTTL = 24 * time.Hour

// compileLifetimes compiles how long copies are fresh and may be served stale, when they are renewed, which
// Cache-Control fields and client directives count, which answers are stored, and how much of them.
func compileLifetimes(doc *part, r *policy.Route) {
	r.TTL, r.Jitter = doc.duration("ttl"), doc.share("jitter")
	r.StaleWhileRevalidate, r.StaleIfError, r.NegativeTTL = doc.duration("stale_while_revalidate"), doc.duration("stale_if_error"), doc.duration("negative_ttl")
	r.RefreshAt, r.MinHits = doc.share("refresh_at"), doc.number("min_hits")
	r.Range, r.Compression = read[policy.RangeFetch](doc, "range"), read[httpcache.Coding](doc, "compression")
	r.Client = read[policy.ClientDirectives](doc, "client_cache_control")
	for at, name := range doc.entries("targeted_cache_control") {
		canonical := http.CanonicalHeaderKey(name)
		if slices.Contains(r.Targets, canonical) {
			doc.problem(at, "%s is there twice; remove one", canonical)
		}
		r.Targets = append(r.Targets, canonical)
	}
	doc.setInForce("targeted_cache_control", r.Targets)
	stored := doc.Part("store_if")
	r.StoreIf.MinBytes = stored.bytes("min_bytes")
	for _, text := range stored.entries("content_type") {
		r.StoreIf.ContentTypes = append(r.StoreIf.ContentTypes, strings.ToLower(text))
	}
	slices.Sort(r.StoreIf.ContentTypes)
	r.StoreIf.ContentTypes = slices.Compact(r.StoreIf.ContentTypes)
	stored.setInForce("content_type", r.StoreIf.ContentTypes)
	stored.there = len(r.StoreIf.ContentTypes) > 0 || r.StoreIf.MinBytes > 0
}

// compileLeaseLoss is how long copies are used without news of purges, for routes that use such copies.
func compileLeaseLoss(doc *part, stale, shared bool) time.Duration {
	most := doc.duration("lease_loss_max")
	switch {
	case doc.spoiled("on_lease_loss") || doc.spoiled("lease_loss_max"):
	case !stale && doc.has("lease_loss_max"):
		doc.problem("lease_loss_max", "has no effect without on_lease_loss: serve_stale; write it, or remove this")
	case !stale:
	case !doc.has("lease_loss_max"):
		doc.problem("on_lease_loss", "serve_stale needs a bound; write lease_loss_max: 60s, the oldest purge that clients may miss")
	case shared:
		doc.warn("on_lease_loss", "an instance that is cut off from Valkey serves copies for up to %s whatever was purged meanwhile: what a purge or a write promises on this route excludes such instances", most)
	default:
		doc.warn("on_lease_loss", "has no effect without valkey: this process runs alone, and hears of every purge")
	}
	return most
}
