package config

import (
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"cacheproxy/leaderboard/api"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/writebehind"
)

// compileRoutes compiles all routes and checks them against each other, after the rest of the snapshot.
func compileRoutes(doc *part, s *Snapshot) []*policy.Route {
	list := doc.sections("routes")
	if len(list) == 0 && !doc.spoiled("routes") {
		doc.warn("routes", "is missing or empty: everything passes through to the first upstream, and nothing is cached")
	}
	routes := make([]*policy.Route, len(list))
	s.Behind, s.Boards = map[string]*writebehind.Rules{}, map[string]*api.Route{}
	for i, part := range list {
		routes[i] = compileRoute(part, list, s)
	}
	reportDuplicates(list, "route")
	reportConflicts(routes, doc.report)
	reportKeys(list, routes)
	warnOfNothing(list, routes)
	warnOfKeys(doc, list, routes)
	warnOfStrays(list, routes, s)
	reportStatusPaths(list, routes, s)
	warnOfSharedSites(doc, routes, s)
	for i, u := range s.Upstreams {
		cached := slices.ContainsFunc(routes, func(r *policy.Route) bool { return r.Upstream == u.Name && r.Caches })
		if cached && u.Host.Literal != "" {
			doc.sections("upstreams")[i].warn("host", "a shared fetch does not tell the upstream the client's Host: links and redirects in its answers will name the upstream; write host: pass if it makes any")
		}
	}
	return routes
}

// warnOfSharedSites warns of copies that all sites share, where a token is bound to some sites: the token may purge
// them.
func warnOfSharedSites(doc *part, routes []*policy.Route, s *Snapshot) {
	shared := slices.IndexFunc(routes, func(r *policy.Route) bool { return r.Caches && r.Host.Literal != "" })
	bound := slices.IndexFunc(s.Admin.Tokens, func(t Token) bool { return len(t.Sites) > 0 })
	if shared >= 0 && bound >= 0 {
		doc.Part("admin").sections("tokens")[bound].warn("sites", "binds nothing on route %s, and on others whose upstream has a host of its own: all hosts share their copies; write host: pass there if they are several sites", routes[shared].Name)
	}
}

// compileRoute compiles one of all routes. Each step needs those before it: templates and ignored names depend on the
// keyed names.
func compileRoute(doc *part, all []*part, s *Snapshot) *policy.Route {
	checkKeys(doc)
	api := upstreamOf(doc, s.Upstreams)
	doc.policy = read[policy.Kind](doc, "policy")
	r := preset(doc.policy)
	r.Name, r.Upstream, r.Host, r.Settle = doc.text("name"), api.Name, api.Host, s.Settle[api.Name]
	r.TagHeaders = s.TagHeaders
	r.Mode, r.ModeShare = read[policy.Mode](doc, "mode"), compileShare(doc)
	r.Patterns = compilePatterns(doc)
	r.Where, r.Clients = compileWhere(doc, r)
	checkPolicy(doc, r)
	r.Query = compileQuery(doc.Part("query"))
	compileVariant(doc, r, len(s.TrustedProxies) > 0)
	r.Content = compileContent(doc, r)
	compileNames(doc, r)
	if r.Caches {
		r.Tags = append(r.Tags, s.Postgres.fedBy(api.Name)...)
		r.FeedDownTTL = s.Postgres.downTTL(api.Name)
	}
	compileLifetimes(doc, r)
	compileRelaxations(doc, r)
	warnOfWhere(doc, r)
	compileResponse(doc.Part("response"), r)
	r.MaxWaiters = doc.number("max_waiters")
	if r.Caches { // a request should not wait longer than a fill may take
		r.WaitTimeout = durationOr(doc, "wait_timeout", api.Timeout)
	}
	r.OnLeaseLoss = read[policy.LeaseLoss](doc, "on_lease_loss")
	r.LeaseLossMax = compileLeaseLoss(doc, r.OnLeaseLoss == policy.LeaseLossServeStale, s.Valkey != nil)
	compileWrites(doc, r, all, api.Timeout)
	compileBehind(doc, r, s)
	compileBoard(doc, r, s)
	warnOfRelaxations(doc, r)
	if api.URL != nil {
		r.Fingerprint = fingerprint(r, api.URL)
	}
	return r
}

// compileShare is the share of requests that the mode applies to; zero: all.
func compileShare(doc *part) float64 {
	share := doc.share("mode_share")
	switch {
	case !doc.has("mode_share"):
	case share == 0:
		doc.problem("mode_share", "is none of the requests; write mode: off instead, or a share such as 10%%")
	case read[policy.Mode](doc, "mode") == policy.Off:
		doc.problem("mode_share", "has no effect with mode: off, which the other requests have too; remove it, or write mode: on or observe")
	}
	if share == 1 {
		share = 0
	}
	doc.setInForce("mode_share", share)
	return share
}

// upstreamOf is the upstream that the route names. A route need not name the only upstream.
func upstreamOf(doc *part, upstreams []upstream.Options) upstream.Options {
	name := doc.text("upstream")
	var known []string
	for _, o := range upstreams {
		if known = append(known, o.Name); o.Name == name && name != "" {
			return o
		}
	}
	switch {
	case doc.spoiled("upstream") || len(upstreams) == 0:
	case name == "" && len(upstreams) == 1:
		doc.setInForce("upstream", upstreams[0].Name)
		return upstreams[0]
	case name == "":
		doc.problem("upstream", "is missing; write upstream: %s", oneOf(known))
	default:
		doc.problem("upstream", "%s is not an upstream; write %s, or add it to upstreams", quote(name), oneOf(known))
	}
	return upstream.Options{}
}

// compileWhere compiles the conditions on a request besides match, and the networks that its client must be in.
func compileWhere(doc *part, r *policy.Route) (where map[policy.Placeholder]*regexp.Regexp, clients []netip.Prefix) {
	written := read[map[string][]string](doc, "where")
	for _, name := range slices.Sorted(maps.Keys(written)) {
		at, values := join("where", name), written[name]
		if doc.spoiled(at) {
			continue
		}
		if name == "client" && !hasWildcard(r, name) {
			if len(values) == 0 {
				doc.problem(at, "names nobody; write the networks that clients are in, such as [10.0.0.0/8], or remove it")
			}
			clients = compileClients(doc, at, values)
			continue
		}
		of := compared(doc, r, at, name)
		if where[of] != nil {
			doc.problem(at, "%s is there twice; remove one", of.Name)
		}
		re, err := regexp.Compile(strings.Join(values, "|"))
		if err == nil {
			_, err = regexp.Compile(`\A(?:` + re.String() + `)\z`) // as for matching; an open \Q would swallow the end
		}
		switch {
		case len(values) != 1:
			doc.problem(at, "is a list; write one regular expression, such as \"a|b\"")
		case err != nil:
			doc.problem(at, "%s is not a regular expression (%w); write one such as \"[0-9]+\"", quote(values[0]), err)
		}
		if where == nil {
			where = map[policy.Placeholder]*regexp.Regexp{}
		}
		if where[of] = re; err != nil {
			where[of] = nothing // a refused condition is still a condition: no conflict of routes is reported for it
		}
	}
	return where, clients
}

// nothing is an expression that matches no value.
var nothing = regexp.MustCompile(`\z.`)

func hasWildcard(r *policy.Route, name string) bool {
	return slices.ContainsFunc(r.Patterns, func(p policy.Pattern) bool { return slices.Contains(p.Wildcards(), name) })
}

// compileClients reads the networks that the clients of a route must be in.
func compileClients(doc *part, at string, values []string) (networks []netip.Prefix) {
	for i, text := range values {
		at := index(at, i)
		if doc.spoiled(at) {
			continue
		}
		list, err := parseNetworks(text)
		if err != nil {
			doc.spoil(at, "%s %w", quote(text), err)
			list = []netip.Prefix{{}} // a refused network is still a condition, as in compileWhere
		}
		networks = append(networks, list...)
	}
	return networks
}

// compared is the placeholder for a name in where.
func compared(doc *part, r *policy.Route, at, name string) (of policy.Placeholder) {
	source, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		source = "" // a wildcard may be called query
	}
	check := func(kind policy.PlaceholderKind, form *form) policy.Placeholder {
		if _, err := form.parse(rest); err != nil {
			doc.problem(at, "%s %w", quote(rest), err)
		}
		return policy.Placeholder{Kind: kind, Name: rest}
	}
	switch source {
	case "query":
		return check(policy.FromQuery, aName)
	case "cookie":
		return check(policy.FromCookie, aCookie)
	case "header":
		of = check(policy.FromHeader, aHeader)
		of.Name = http.CanonicalHeaderKey(of.Name)
		switch {
		case of.Name == "Cookie":
			doc.problem(at, "has all cookies; write cookie.NAME")
		case of.Name == "Host":
			doc.problem(at, "is part of patterns; write it into match, such as GET shop.example/products/{id}")
		case httpcache.SaysWay(of.Name):
			doc.problem(at, "is the word of proxies, which anybody can send; write client: with the networks that clients are in")
		case slices.Contains(unkeyable, of.Name):
			doc.problem(at, "cannot tell requests apart: it says how the message travels, or which part of an answer is wanted; remove it")
		}
		return of
	}
	if !doc.spoiled("match") && !hasWildcard(r, name) {
		doc.problem(at, "no pattern of this route has the wildcard {%s}; %s; other conditions are header.NAME, cookie.NAME, query.NAME and client", name, wildcardHint(r))
	}
	return policy.Placeholder{Kind: policy.FromWildcard, Name: name}
}

// warnOfWhere warns about conditions that no request answered from a copy can meet.
func warnOfWhere(doc *part, r *policy.Route) {
	if !r.Caches {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(read[map[string][]string](doc, "where"))) {
		source, rest, _ := strings.Cut(name, ".")
		of := policy.Placeholder{Name: rest}
		passes, add := false, ""
		switch source {
		case "header":
			of.Kind, of.Name = policy.FromHeader, http.CanonicalHeaderKey(rest)
			passes, add = r.ForwardHeaders == policy.ForwardListed && r.OnUnlisted == policy.UnlistedBypass && len(r.UnlistedHeaders(http.Header{of.Name: nil}, nil)) > 0, "headers if answers depend on it, else to ignore_headers"
		case "cookie":
			of.Kind = policy.FromCookie
			passes = !r.IgnoreAllCookies && !slices.Contains(r.Cookies, rest) && !slices.ContainsFunc(r.IgnoreCookies, func(rule string) bool { return overlap(rule, rest) })
			add = "cookies if answers depend on it, else to ignore_cookies"
		case "query":
			of.Kind = policy.FromQuery
			passes = r.Query.Unlisted == policy.UnlistedBypass && !slices.ContainsFunc(slices.Concat(r.Query.Include, r.Query.Exclude), func(rule string) bool { return overlap(rule, rest) })
			add = "query.include if answers depend on it, else to query.exclude"
		}
		if re := r.Where[of]; passes && re != nil && !regexp.MustCompile(`\A(?:`+re.String()+`)\z`).MatchString("") {
			doc.warn(join("where", name), "every request of this route has it, and goes past the cache for it; add %s to %s", rest, add)
		}
	}
}

// wildcardHint lists the wildcards of the route's patterns.
func wildcardHint(r *policy.Route) string {
	var known []string
	for _, p := range r.Patterns {
		for _, name := range p.Wildcards() {
			known = declare(known, "{"+name+"}")
		}
	}
	if len(known) == 0 {
		return "they have no wildcards"
	}
	return "use " + oneOf(known)
}

// checkPolicy checks the route's keys and patterns against its policy.
func checkPolicy(doc *part, r *policy.Route) {
	if doc.spoiled("policy") {
		return
	}
	for _, k := range doc.keys {
		if doc.has(k.name) && !k.heeds(r.Policy) {
			doc.problem(k.name, "has no effect with policy: %s; remove it, or use policy: %s", r.Policy, oneOf(names(k.heededBy)))
		}
	}
	if doc.spoiled("match") {
		return
	}
	writes := matches(r, func(method string) bool { return !httpcache.Safe(method) })
	reads := matches(r, func(method string) bool { return method == http.MethodGet || method == http.MethodHead })
	// A fence around writes is useful without a pattern that reads.
	if r.Caches && !reads && !doc.has("content") && !r.FencesWrites {
		doc.problem("policy", "%s needs a pattern that reads; add GET to match, or write policy: bypass", r.Policy)
	}
	if r.FencesWrites && !writes {
		doc.problem("policy", "%s needs a pattern that writes; add PUT, PATCH, POST or DELETE to match, or write policy: cache-aside", r.Policy)
	}
	for _, key := range []string{"invalidates", "store_down", "failed_writes", "on_write", "serialize_writes"} {
		if doc.has(key) && !writes && (key != "on_write" || r.Caches) {
			doc.problem(key, "has no effect: no pattern of this route writes; add PUT, PATCH, POST or DELETE to match, or remove it")
		}
	}
}

// matches reports whether the route has a pattern with a method that f accepts. A pattern without a method matches
// every f.
func matches(r *policy.Route, f func(method string) bool) bool {
	return slices.ContainsFunc(r.Patterns, func(p policy.Pattern) bool { return p.Method() == "" || f(p.Method()) })
}

// asksFor reports whether a pattern of the route names the method.
func asksFor(r *policy.Route, method string) bool {
	return slices.ContainsFunc(r.Patterns, func(p policy.Pattern) bool { return p.Method() == method })
}

// compileContent says which requests with content are reads.
func compileContent(route *part, r *policy.Route) (reads policy.ContentReads) {
	doc := route.Part("content")
	if !doc.has("") {
		return reads
	}
	reads, doc.there = policy.ContentReads{Max: doc.bytes("max"), GraphQL: doc.flag("graphql")}, true
	switch posts := asksFor(r, http.MethodPost); {
	case route.spoiled("match"):
	case !posts && !asksFor(r, "QUERY"):
		doc.problem("", "has no effect: no pattern of this route names QUERY or POST; add one to match, such as QUERY /search, or remove it")
	case reads.GraphQL && !posts:
		doc.problem("graphql", "has no effect: no pattern of this route names POST; add one to match, such as POST /graphql, or remove it")
	case posts && !reads.GraphQL:
		doc.warn("", "every POST of this route is taken for a read, and may be answered from a copy; be sure that none changes anything, or write graphql: true where it is GraphQL")
	}
	return reads
}
