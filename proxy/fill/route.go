package fill

import (
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/store"
	"net/http"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// Route is a configured route with what its fills need: where they go, and who counts them. It is immutable but for what
// answers have taught about Vary.
type Route struct {
	*policy.Route
	Prefers  *Prefers // what clients prefer, as keys have it
	Origin   *upstream.Upstream
	Metrics  *observe.RouteMetrics
	Requests *observe.UpstreamMetrics // counts the requests to Origin
	// Blind reports whether changes in the database behind may be unknown. It is asked where the route has a FeedDownTTL, and must be
	// cheap; nil: they never are.
	Blind func(now time.Time) bool

	learned *learned
}

// NewRoute joins a configured route with its upstream.
func NewRoute(r *policy.Route, o *upstream.Upstream, m *observe.Metrics) *Route {
	return &Route{Route: r, Prefers: newPrefers(policy.PreferencesOf(r)), Origin: o, Metrics: m.Route(r.Name), Requests: m.Upstream(o.Name()), learned: new(learned)}
}

// Usable says what a copy may be used for now, and why for no more. While nobody tells of changes, the origin has to confirm a fresh one
// that was neither fetched nor confirmed lately. Nothing is known against it, and by HTTP it is not stale: where the origin fails it stands in,
// whatever is said of stale ones.
func (r *Route) Usable(c *store.Copy, ledger *invalidation.Ledger, now time.Time) (httpcache.Freshness, policy.Reason) {
	use, why := c.Usable(ledger, now)
	if use == httpcache.Fresh && r.FeedDownTTL > 0 && now.Sub(c.Life().Received) >= r.FeedDownTTL && r.Blind != nil && r.Blind(now) {
		return max(c.Life().JustStale(use), httpcache.StaleOnError), policy.FeedDown
	}
	return use, why
}

// Inherit shares what answers have taught about Vary with the route of an earlier generation of the configuration. It must be
// called before the first request of the new generation.
func (r *Route) Inherit(before *Route) { r.learned = before.learned }

// KeyedHost is the part of the client's Host that belongs to the storage key: none where the origin never sees it.
func (r *Route) KeyedHost(client string) string {
	if r.Host.Literal != "" {
		return ""
	}
	return client
}

// anyQuery ends the keys that the queries of a path share. No key is the beginning of another.
const anyQuery = 's'

// PathKey is the key that all queries of a target's path share, for clients that prefer the same. No copy is stored under it.
func (r *Route) PathKey(t httpcache.Target, h http.Header) string {
	t.Query, t.HasQuery = "", false
	return string(append(r.Prefers.AppendTo(r.AppendKey(nil, t, r.KeyedHost(t.Host), "", h), h), anyQuery))
}
