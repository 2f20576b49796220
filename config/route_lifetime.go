package config

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// longTTL is how long copies may live before check asks how they can be purged.
const longTTL = 24 * time.Hour

// mediaType is a lower-case media type or a family of them (RFC 9110 §8.3.1).
var mediaType = regexp.MustCompile(`^[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+|\*)$`)

// lifetimes compiles how long copies are fresh and may be served stale, which answers are stored, and how
// much of them.
func (c *routeCompiler) lifetimes() {
	d, r := c.doc, c.route
	r.TTL = d.duration("ttl")
	r.StaleWhileRevalidate, r.StaleIfError, r.NegativeTTL = d.duration("stale_while_revalidate"), d.duration("stale_if_error"), d.duration("negative_ttl")
	if r.Jitter = d.share("jitter"); r.Jitter == 1 {
		c.problem(c.key("jitter"), "takes the whole lifetime away; write 10%%, the default, or at most 99%%")
	}
	c.refresh()
	c.directives()
	r.Range, r.Compression = read[policy.RangeFetch](d, "range"), read[httpcache.Coding](d, "compression")
	c.storeIf(d.section("store_if"))
}

// storeIf compiles which answers are stored, of those that may be.
func (c *routeCompiler) storeIf(doc *Part) {
	var types []string
	for i, text := range doc.list("content_type") {
		lower := strings.ToLower(text)
		if at := index(doc.at("content_type"), i); !c.spoiled(at) && !mediaType.MatchString(lower) {
			c.problem(at, "%s is not a media type; write one without parameters, such as application/json or image/*", quote(text))
		}
		types = append(types, lower)
	}
	slices.Sort(types)
	c.route.StoreIf = policy.StoreIf{ContentTypes: slices.Compact(types), MinBytes: doc.bytes("min_bytes")}
	doc.setInForce("content_type", c.route.StoreIf.ContentTypes)
	doc.there = len(types) > 0 || c.route.StoreIf.MinBytes > 0
}

// directives compiles whose words on caching are heeded.
func (c *routeCompiler) directives() {
	c.route.Client = read[policy.ClientDirectives](c.doc, "client_cache_control")
	at := c.key("targeted_cache_control")
	for i, name := range c.doc.list("targeted_cache_control") {
		canonical := http.CanonicalHeaderKey(name)
		switch at := index(at, i); {
		case c.spoiled(at):
		case !token.MatchString(name) || canonical != httpcache.TargetSurrogate && !strings.HasSuffix(canonical, "-Cache-Control"):
			c.problem(at, "%s is not a field with directives for some caches; write CDN-Cache-Control, another that ends in -Cache-Control, or Surrogate-Control", quote(name))
		case slices.Contains(c.route.Targets, canonical):
			c.problem(at, "%s is there twice; remove one", canonical)
		default:
			c.route.Targets = append(c.route.Targets, canonical)
		}
	}
	c.doc.setInForce("targeted_cache_control", c.route.Targets)
}

// refresh compiles when refresh-ahead renews copies.
func (c *routeCompiler) refresh() {
	c.route.RefreshAt, c.route.MinHits = c.doc.share("refresh_at"), c.doc.number("min_hits")
	if c.wrote("refresh_at") && (c.route.RefreshAt == 0 || c.route.RefreshAt == 1) {
		c.problem(c.key("refresh_at"), "is not inside the lifetime; write 80%%, the default, or 1%% to 99%%")
	}
}

// leaseLoss compiles what becomes of copies while there is no news of purges.
func (c *routeCompiler) leaseLoss() {
	c.route.OnLeaseLoss = read[policy.LeaseLoss](c.doc, "on_lease_loss")
	word, most := c.key("on_lease_loss"), c.key("lease_loss_max")
	stale, bound := c.route.OnLeaseLoss == policy.LeaseLossServeStale, c.doc.duration("lease_loss_max")
	switch {
	case c.spoiled(word) || c.spoiled(most):
		return
	case !stale && c.wrote("lease_loss_max"):
		c.problem(most, "has no effect without on_lease_loss: serve_stale; write it, or remove this")
	case !stale:
		return
	case !c.wrote("lease_loss_max"):
		c.problem(word, "serve_stale needs a bound; write lease_loss_max: 60s, the oldest purge that clients may miss")
	case c.wroteBelow("valkey"):
		c.warn(word, "an instance that is cut off from Valkey serves copies for up to %s whatever was purged meanwhile: what a purge or a write promises on this route excludes such instances", bound)
	default:
		c.warn(word, "has no effect without valkey: this process runs alone, and hears of every purge")
	}
	c.route.LeaseLossMax = c.doc.duration("lease_loss_max")
}

// limits compiles how many requests wait for one fill, and for how long.
func (c *routeCompiler) limits(timeout time.Duration) {
	c.route.MaxWaiters = c.doc.number("max_waiters")
	if c.route.Caches { // a request should not wait longer than the fill may take
		c.route.WaitTimeout = c.durationOr(c.doc, "wait_timeout", timeout)
	}
}
