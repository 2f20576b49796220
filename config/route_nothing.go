package config

import (
	"strings"

	"cacheproxy/policy"
)

// compileNothing refuses what contradicts a route whose writes leave all copies as they are, and what has no effect
// there.
func compileNothing(route, doc *part, r *policy.Route) {
	if len(doc.values) > 1 || doc.Part("otherwise").written() {
		doc.problem("nothing", "contradicts what else is named here; remove it, or the rest")
	}
	if r.FencesWrites {
		doc.problem("nothing", "contradicts policy: %s, which fences writes; remove it, or write a route with policy: %s for these writes", r.Policy, policy.Bypass)
	}
	for _, key := range []string{"store_down", "failed_writes"} {
		if route.has(key) {
			route.problem(key, "has no effect with invalidates: {nothing: true}; remove it")
		}
	}
}

// warnOfNothing warns where copies stay outdated after writes of routes that invalidate nothing.
func warnOfNothing(list []*part, routes []*policy.Route) {
	holdings := policy.HoldingsOf(routes)
	for i, r := range routes {
		if r.Invalidates == nil || !r.Invalidates.Nothing || list[i].spoiled("match") {
			continue
		}
		if p, holder := heldBy(r, routes, holdings); holder != nil {
			list[i].Part("invalidates").warn("nothing", "a write leaves copies as they are, and %s of route %s can have them of what it changes: clients get what was there before until they expire; be sure that a purge comes, or that nobody minds",
				quote(p.String()), holder.Name)
		} else {
			list[i].Part("invalidates").warn("nothing", "has no effect on what this route writes to, of which no route can have a copy, so that nobody is told in any case; remove it, unless answers name other URLs in Location")
		}
	}
}

// heldBy finds a route, and its pattern, that can have a copy of a resource that r writes to.
func heldBy(r *policy.Route, routes []*policy.Route, holdings *policy.Holdings) (policy.Pattern, *policy.Route) {
	for _, holder := range routes {
		for _, q := range holder.Patterns {
			for _, p := range r.Patterns {
				if holder.Caches && writes(p) && p.SharesPath(q) && holdings.MayHold([]policy.Member{policy.NewMember(policy.KindURL, "host"+commonPath(p.Path(), q.Path()))}) {
					return q, holder
				}
			}
		}
	}
	return policy.Pattern{}, nil
}

// commonPath is a path that matches both of two patterns that share a path. A segment that is literal in only one
// pattern is taken from there.
func commonPath(p, q string) string {
	a, b := strings.Split(p, "/"), strings.Split(q, "/")
	if len(a) < len(b) {
		a, b = b, a
	}
	for i, segment := range a {
		if i < len(b) && strings.HasPrefix(segment, "{") {
			segment = b[i]
		}
		if a[i] = segment; strings.HasPrefix(segment, "{") {
			a[i] = "any"
		}
	}
	return strings.Join(a, "/")
}
