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
	r.TTL = c.positive(c.key("ttl"), d.TTL, 0)
	r.StaleWhileRevalidate, r.StaleIfError, r.NegativeTTL = d.StaleWhileRevalidate, d.StaleIfError, d.NegativeTTL
	if c.wrote("jitter") {
		r.Jitter = float64(d.Jitter)
		if r.Jitter == 1 {
			c.problem(c.key("jitter"), "takes the whole lifetime away; write 10%%, the default, or at most 99%%")
		}
	}
	c.refresh()
	c.directives()
	r.Range = d.Range
	r.StoreIf.MinBytes = int64(d.StoreIf.MinBytes)
	at := join(c.key("store_if"), "content_type")
	for i, text := range d.StoreIf.ContentType {
		lower := strings.ToLower(text)
		if at := index(at, i); !c.spoiled(at) && !mediaType.MatchString(lower) {
			c.problem(at, "%s is not a media type; write one without parameters, such as application/json or image/*", quote(text))
		}
		r.StoreIf.ContentTypes = append(r.StoreIf.ContentTypes, lower)
	}
	slices.Sort(r.StoreIf.ContentTypes)
	r.StoreIf.ContentTypes = slices.Compact(r.StoreIf.ContentTypes)
	r.Compression = d.Compression
}

// directives compiles whose words on caching are heeded.
func (c *routeCompiler) directives() {
	c.route.Client = c.doc.ClientCacheControl
	at := c.key("targeted_cache_control")
	if !c.wrote("targeted_cache_control") {
		return
	}
	c.route.Targets = nil
	for i, name := range c.doc.TargetedCacheControl {
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
}

// refresh compiles when refresh-ahead renews copies.
func (c *routeCompiler) refresh() {
	if c.wrote("refresh_at") {
		c.route.RefreshAt = float64(c.doc.RefreshAt)
		if c.route.RefreshAt == 0 || c.route.RefreshAt == 1 {
			c.problem(c.key("refresh_at"), "is not inside the lifetime; write 80%%, the default, or 1%% to 99%%")
		}
	}
	if c.wrote("min_hits") {
		c.route.MinHits = c.doc.MinHits
	}
}

// leaseLoss compiles what becomes of copies while there is no news of purges.
func (c *routeCompiler) leaseLoss() {
	d, r := c.doc, c.route
	r.OnLeaseLoss = d.OnLeaseLoss
	word, most := c.key("on_lease_loss"), c.key("lease_loss_max")
	stale := d.OnLeaseLoss == policy.LeaseLossServeStale
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
		c.warn(word, "an instance that is cut off from Valkey serves copies for up to %s whatever was purged meanwhile: what a purge or a write promises on this route excludes such instances", d.LeaseLossMax)
	default:
		c.warn(word, "has no effect without valkey: this process runs alone, and hears of every purge")
	}
	if stale {
		r.LeaseLossMax = c.positive(most, d.LeaseLossMax, 0)
	}
}

// limits compiles how many requests wait for one fill, and for how long.
func (c *routeCompiler) limits() {
	c.route.MaxWaiters = c.atLeastOne(c.key("max_waiters"), c.doc.MaxWaiters, c.route.MaxWaiters)
	c.route.WaitTimeout = c.positive(c.key("wait_timeout"), c.doc.WaitTimeout, c.route.WaitTimeout)
}
