package config

import (
	"maps"
	"net/http"
	"regexp"
	"slices"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// routes compiles all routes and what they say about each other.
func (l *loader) routes(list []*Part, s *Snapshot) []*policy.Route {
	if len(list) == 0 && !l.spoiled("routes") {
		l.warn("routes", "is missing or empty: everything passes through to the first upstream, and nothing is cached")
	}
	routes := make([]*policy.Route, len(list))
	for i, doc := range list {
		c := &routeCompiler{loader: l, path: doc.path, doc: doc, docs: list, trusting: len(s.TrustedProxies) > 0}
		routes[i] = c.compile(s)
	}
	l.duplicates(list, "route")
	l.conflicts(routes)
	l.hostsUntold(routes, s)
	return routes
}

// hostsUntold warns of upstreams that make the answers of all without knowing for which host.
func (l *loader) hostsUntold(routes []*policy.Route, s *Snapshot) {
	for i, u := range s.Upstreams {
		cached := slices.ContainsFunc(routes, func(r *policy.Route) bool { return r.Upstream == u.Name && r.Caches })
		if cached && u.Host.Literal != "" {
			l.warn(join(index("upstreams", i), "host"), "a shared fetch does not tell the upstream the client's Host: links and redirects in its answers will name the upstream; write host: pass if it makes any")
		}
	}
}

// routeCompiler turns one route of the document into a policy.Route.
type routeCompiler struct {
	*loader
	path  string // routes[i]
	doc   *Part
	docs  []*Part // all routes
	route *policy.Route

	trusting bool // there are proxies that are believed whom they forward for
}

// key is the path of one of the route's keys.
func (c *routeCompiler) key(name string) string { return join(c.path, name) }

// wrote reports whether the route has a usable value for the key.
func (c *routeCompiler) wrote(name string) bool { return c.has(c.key(name)) }

func (c *routeCompiler) compile(s *Snapshot) *policy.Route {
	name, upstream := c.name(c.doc, "product"), c.upstreamOf(s.Upstreams)
	c.doc.policy = read[policy.Kind](c.doc, "policy")
	c.route = preset(c.doc.policy)
	c.route.Name, c.route.Upstream, c.route.Host, c.route.Settle = name, upstream.Name, upstream.Host, s.Settle[upstream.Name]
	c.route.Mode = read[policy.Mode](c.doc, "mode")
	c.modeShare()
	c.patterns()
	c.where()
	c.kind()
	c.query()
	c.variant()
	c.content()
	c.templates()
	c.lifetimes()
	c.relaxations()
	c.limits(upstream.Timeout)
	c.leaseLoss()
	c.writes(upstream.Timeout)
	c.cautions()
	if upstream.URL != nil {
		c.route.Fingerprint = fingerprint(c.route, upstream.URL)
	}
	return c.route
}

// modeShare compiles the share of the requests that the mode is for.
func (c *routeCompiler) modeShare() {
	at, share := c.key("mode_share"), c.doc.share("mode_share")
	if share < 1 {
		c.route.ModeShare = share
	}
	c.doc.setInForce("mode_share", c.route.ModeShare)
	switch {
	case !c.wrote("mode_share"):
	case share == 0:
		c.problem(at, "is none of the requests; write mode: off instead, or a share such as 10%%")
	case c.route.Mode == policy.Off:
		c.problem(at, "has no effect with mode: off, which the other requests have too; remove it, or write mode: on or observe")
	}
}

// upstreamOf is the upstream that the route names, which it need not where there is only one.
func (c *routeCompiler) upstreamOf(upstreams []upstream.Options) upstream.Options {
	name, at := c.doc.text("upstream"), c.key("upstream")
	var known []string
	for _, o := range upstreams {
		if known = append(known, o.Name); o.Name == name && name != "" {
			return o
		}
	}
	switch {
	case c.spoiled(at) || len(upstreams) == 0:
	case name == "" && len(upstreams) == 1:
		c.doc.setInForce("upstream", upstreams[0].Name)
		return upstreams[0]
	case name == "":
		c.problem(at, "is missing; write upstream: %s", oneOf(known))
	default:
		c.problem(at, "%s is not an upstream; write %s, or add it to upstreams", quote(name), oneOf(known))
	}
	return upstream.Options{}
}

func (c *routeCompiler) patterns() {
	at, list := c.key("match"), c.doc.list("match")
	if len(list) == 0 && !c.spoiled(at) {
		c.spoil(at, "is missing; write match: GET /products/{id}, or a list of patterns")
	}
	for i, text := range list {
		if c.spoiled(index(at, i)) {
			c.mark(at)
			continue
		}
		p, err := policy.ParsePattern(text)
		if err != nil {
			c.spoil(index(at, i), "%w; write [METHOD ][HOST]/path/{wildcard}", err)
			c.mark(at)
			continue
		}
		c.route.Patterns = append(c.route.Patterns, p)
	}
}

// mark keeps rules about all of a list from repeating what was said about an entry.
func (c *routeCompiler) mark(path string) {
	p := c.at(path)
	p.spoiled = true
	c.places[path] = p
}

func (c *routeCompiler) where() {
	where := read[map[string]string](c.doc, "where")
	for _, wildcard := range slices.Sorted(maps.Keys(where)) {
		text, at := where[wildcard], join(c.key("where"), wildcard)
		if c.spoiled(at) {
			continue
		}
		re, err := regexp.Compile(text)
		if err == nil {
			_, err = regexp.Compile(`\A(?:` + text + `)\z`) // as it is matched; an open \Q would swallow the end
		}
		if err != nil {
			c.problem(at, "%s is not a regular expression (%w); write one such as \"[0-9]+\"", quote(text), err)
			continue
		}
		has := func(p policy.Pattern) bool { return slices.Contains(p.Wildcards(), wildcard) }
		if !c.spoiled(c.key("match")) && !slices.ContainsFunc(c.route.Patterns, has) {
			c.problem(at, "no pattern of this route has the wildcard {%s}; %s", wildcard, c.wildcardHint())
		}
		if c.route.Where == nil {
			c.route.Where = map[string]*regexp.Regexp{}
		}
		c.route.Where[wildcard] = re
	}
}

// wildcardHint says which wildcards the route's patterns have.
func (c *routeCompiler) wildcardHint() string {
	var known []string
	for _, p := range c.route.Patterns {
		for _, name := range p.Wildcards() {
			if !slices.Contains(known, "{"+name+"}") {
				known = append(known, "{"+name+"}")
			}
		}
	}
	if len(known) == 0 {
		return "they have no wildcards"
	}
	return "use " + oneOf(known)
}

// kind checks the policy against the route's keys and patterns.
func (c *routeCompiler) kind() {
	at := c.key("policy")
	if c.spoiled(at) {
		return
	}
	if !c.wrote("policy") {
		c.spoil(at, "is missing; write policy: cache-aside, or bypass to cache nothing")
		return
	}
	kind, caches := c.route.Policy, c.route.Caches
	c.unheeded(c.doc, kind)
	if c.spoiled(c.key("match")) {
		return
	}
	if caches && !c.matches(isRead) && !c.wrote("content") {
		c.problem(at, "%s needs a pattern that reads; add GET to match, or write policy: bypass", kind)
	}
	if c.route.FencesWrites && !c.matches(isWrite) {
		c.problem(at, "write-through needs a pattern that writes; add PUT, PATCH, POST or DELETE to match, or write policy: cache-aside")
	}
	for _, key := range []string{"invalidates", "store_down", "failed_writes", "on_write"} {
		if c.wrote(key) && !c.matches(isWrite) && (key != "on_write" || caches) {
			c.problem(c.key(key), "has no effect: no pattern of this route writes; add PUT, PATCH, POST or DELETE to match, or remove it")
		}
	}
}

// matches reports whether the route has a pattern with a method that f accepts. A pattern without one has them all.
func (c *routeCompiler) matches(f func(method string) bool) bool {
	return slices.ContainsFunc(c.route.Patterns, func(p policy.Pattern) bool { return p.Method() == "" || f(p.Method()) })
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func isWrite(method string) bool { return !httpcache.Safe(method) }
