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

// Route is a configured route with the parts that its fills need: the upstream, and the metrics. Route is immutable
// but for the fields that answers have named in Vary (learned).
type Route struct {
	*policy.Route
	Prefers  *Prefers // the preferences of clients, in the form that keys have
	Origin   *upstream.Upstream
	Metrics  *observe.RouteMetrics
	Requests *observe.UpstreamMetrics // counts the requests to Origin
	// Blind reports whether changes in the database behind the origin may be unknown. Usable calls Blind where the
	// route has a FeedDownTTL. Blind must be cheap; nil: changes are always known.
	Blind func(now time.Time) bool

	learned *learned
}

// NewRoute joins a configured route with its upstream.
func NewRoute(r *policy.Route, o *upstream.Upstream, m *observe.Metrics) *Route {
	return &Route{Route: r, Prefers: newPrefers(policy.PreferencesOf(r)), Origin: o, Metrics: m.Route(r.Name), Requests: m.Upstream(o.Name()), learned: new(learned)}
}

// Usable says for which use a copy is good now, and why for no better use. While changes in the database are not
// announced (Blind), the origin has to confirm a fresh copy that was neither fetched nor confirmed within
// FeedDownTTL. Nothing is known against such a copy, and by HTTP the copy is not stale. So the copy stands in where
// the origin fails, whatever the rules for stale copies say.
func (r *Route) Usable(c *store.Copy, ledger *invalidation.Ledger, now time.Time) (httpcache.Freshness, policy.Reason) {
	use, why := c.Usable(ledger, now)
	if use == httpcache.Fresh && r.FeedDownTTL > 0 && now.Sub(c.Life().Received) >= r.FeedDownTTL && r.Blind != nil && r.Blind(now) {
		return max(c.Life().JustStale(use), httpcache.StaleOnError), policy.FeedDown
	}
	return use, why
}

// Inherit takes over the Vary fields that answers have taught the route of an earlier generation of the
// configuration. Inherit must be called before the first request of the new generation.
func (r *Route) Inherit(before *Route) { r.learned = before.learned }

// KeyedHost is the part of the client's Host that belongs to the storage key: empty if the origin never sees that
// Host.
func (r *Route) KeyedHost(client string) string {
	if r.Host.Literal != "" {
		return ""
	}
	return client
}

// anyQuery ends the keys that the queries of a path share. No key is the beginning of another.
const anyQuery = 's'

// PathKey is the key that all queries of a target's path share, for clients that prefer the same. No copy is stored
// under this key.
func (r *Route) PathKey(t httpcache.Target, h http.Header) string {
	t.Query, t.HasQuery = "", false
	return string(append(r.Prefers.AppendTo(r.AppendKey(nil, t, r.KeyedHost(t.Host), "", h), h), anyQuery))
}
