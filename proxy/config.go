package proxy

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"cacheproxy/leaderboard/api"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
	"cacheproxy/writebehind"
)

// Config is one generation of the configuration. Once a Proxy has the Config, only the state of routes that changes at
// run time (route) still changes.
type Config struct {
	Table          *policy.Table
	MaxObject      int64                         // larger answers are not stored, in bytes
	MaxBody        int64                         // longer request bodies are answered with 413, in bytes; 0: any length
	CacheStatusOff bool                          // no Cache-Status member is added to answers
	CacheStatusKey bool                          // Cache-Status includes the storage key
	TagHeaders     []string                      // response fields that list tags, for requests that no route matches
	Behind         map[string]*writebehind.Rules // rules of the routes that queue writes, by the name of the route
	Boards         map[string]*api.Route         // rules of the routes that keep boards, by the name of the route
	Trusted        []netip.Prefix                // peers whose X-Forwarded-* and Forwarded the proxy believes
	// Anew names routes that start without copies, even if their copies in the generation before would still be valid.
	Anew []string
	// Blind reports whether changes in the API's database may have been missed (policy.Route.FeedDownTTL); nil: no
	// database is watched.
	Blind      func(now time.Time) bool
	routes     map[*policy.Route]*route
	byName     map[string]*route
	order      []*route // as configured
	unmatched  *route   // for requests that no route matches
	asksClient bool     // some route has Clients, so that Match needs the client's address
	upstreams  map[string]*upstream.Upstream
	deferring  []*deferring // the routes that queue writes
}

// NewConfig joins routes with their upstreams; c has the other settings. Requests that match no route go to the first
// upstream.
func NewConfig(c Config, routes []*policy.Route, upstreams []*upstream.Upstream, m *observe.Metrics) *Config {
	byName := make(map[string]*upstream.Upstream, len(upstreams))
	for _, o := range upstreams {
		byName[o.Name()] = o
	}
	c.routes = make(map[*policy.Route]*route, len(routes))
	c.byName = make(map[string]*route, len(routes))
	for _, r := range routes {
		state := newRoute(r, byName[r.Upstream], m)
		state.Blind = c.Blind
		state.behind, state.boards = c.Behind[r.Name], c.Boards[r.Name]
		c.routes[r], c.byName[r.Name] = state, state
		c.order = append(c.order, state)
		c.asksClient = c.asksClient || len(r.Clients) > 0
	}
	c.upstreams, c.deferring = byName, deferringOf(c.order)
	first := upstreams[0]
	c.unmatched = newRoute(&policy.Route{Name: unmatchedName, Upstream: first.Name(), Host: first.HostRule(), TagHeaders: c.TagHeaders}, first, m)
	return &c
}

func newRoute(r *policy.Route, o *upstream.Upstream, m *observe.Metrics) *route {
	return &route{Route: fill.NewRoute(r, o, m), override: new(atomic.Pointer[modeOverride])}
}

// unmatchedName is the name of the route that logs and metrics give to requests without a route.
const unmatchedName = "(unmatched)"

// route is a configured route with its state at run time.
type route struct {
	*fill.Route
	// The route of the same name in the next generation shares override: a mode that was set at run time outlives the
	// generation.
	override *atomic.Pointer[modeOverride]
	behind   *writebehind.Rules // nil: the origin answers writes to the route
	boards   *api.Route         // nil: the route keeps no boards

	differences observe.Throttle // limits log lines about answers that a copy would have given differently
	cookies     observe.Throttle // limits log lines about cookies that clients would not get
}

// modeOverride is a mode set at run time.
type modeOverride struct {
	mode  policy.Mode
	share float64 // of the requests for which mode is in force; above 0, at most 1
	by    string  // the operator who set the mode
	since time.Time
	until time.Time // zero: without end
}

// mode is the mode in force, and the share of the requests for which this mode is in force.
func (r *route) mode(now time.Time) (policy.Mode, float64) {
	if o := r.overridden(now); o != nil {
		return o.mode, o.share
	}
	return r.Mode, r.configuredShare()
}

// overridden is the override in force; nil: the configured mode is in force.
func (r *route) overridden(now time.Time) *modeOverride {
	if o := r.override.Load(); o != nil && (o.until.IsZero() || now.Before(o.until)) {
		return o
	}
	return nil
}

func (r *route) configuredShare() float64 {
	if r.ModeShare == 0 {
		return 1
	}
	return r.ModeShare
}

// draw chooses the mode of one request at random, by the share of the route. Each request is drawn by itself, not each
// URL or client: the share is then that share of the load even if a route has one URL or one client. outside says that
// the request is outside the share and is handled as with mode off.
func (r *route) draw(now time.Time) (mode policy.Mode, outside bool) {
	mode, share := r.mode(now)
	if share < 1 && rand.Float64() >= share {
		return policy.Off, true
	}
	return mode, false
}
