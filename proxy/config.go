package proxy

import (
	"net/netip"
	"sync/atomic"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/origin"
)

// Config is one generation of the configuration. It is immutable once NewConfig has returned, but for the modes.
type Config struct {
	Table          *policy.Table
	MaxObject      int64          // larger answers are not stored, in bytes
	MaxBody        int64          // larger request bodies are answered 413, in bytes; 0: any size
	CacheStatusKey bool           // Cache-Status tells the storage key
	Trusted        []netip.Prefix // peers whose X-Forwarded-* and Forwarded are believed
	routes         map[*policy.Route]*route
	byName         map[string]*route
	order          []*route // as configured
	unmatched      *route   // serves what no route matches
}

// NewConfig joins routes with their upstreams; c holds the rest. What matches no route goes to the first upstream.
func NewConfig(c Config, routes []*policy.Route, upstreams []*origin.Origin, m *observe.Metrics) *Config {
	byName := make(map[string]*origin.Origin, len(upstreams))
	for _, o := range upstreams {
		byName[o.Name()] = o
	}
	c.routes = make(map[*policy.Route]*route, len(routes))
	c.byName = make(map[string]*route, len(routes))
	for _, r := range routes {
		state := newRoute(r, byName[r.Upstream], m)
		c.routes[r], c.byName[r.Name] = state, state
		c.order = append(c.order, state)
		m.SetMode(r.Name, r.Mode)
	}
	first := upstreams[0]
	c.unmatched = newRoute(&policy.Route{Name: Unmatched, Upstream: first.Name(), Host: first.HostRule()}, first, m)
	return &c
}

func newRoute(r *policy.Route, o *origin.Origin, m *observe.Metrics) *route {
	return &route{Route: r, origin: o, metrics: m.Route(r.Name), upstream: m.Upstream(o.Name())}
}

// Unmatched is the name under which requests without a route are reported.
const Unmatched = "(unmatched)"

// maxLearned bounds the request header fields that a route forwards because answers named them in Vary.
const maxLearned = 16

// route is a configured route with what changes at run time.
type route struct {
	*policy.Route
	origin   *origin.Origin
	metrics  *observe.RouteMetrics
	upstream *observe.UpstreamMetrics
	override atomic.Pointer[modeOverride]
	learned  atomic.Pointer[[]string] // names seen in Vary; sorted
}

// modeOverride is a mode set at run time.
type modeOverride struct {
	mode  policy.Mode
	until time.Time // zero: for good
}

// mode is the mode in force.
func (r *route) mode(now time.Time) policy.Mode {
	if o := r.override.Load(); o != nil && (o.until.IsZero() || now.Before(o.until)) {
		return o.mode
	}
	return r.Mode
}

// selecting is the request header fields that Vary is known to name on this route.
func (r *route) selecting() []string {
	if names := r.learned.Load(); names != nil {
		return *names
	}
	return nil
}

// learn notes what a Vary names, so that the next fill forwards it.
func (r *route) learn(names []string) {
	for _, name := range names {
		for {
			old := r.learned.Load()
			next, changed := insert(old, name)
			if !changed || r.learned.CompareAndSwap(old, next) {
				break
			}
		}
	}
}

func insert(names *[]string, name string) (*[]string, bool) {
	if names == nil {
		return &[]string{name}, true
	}
	for _, n := range *names {
		if n == name {
			return names, false
		}
	}
	if len(*names) >= maxLearned {
		return names, false
	}
	next := append(append([]string(nil), *names...), name)
	return &next, true
}
