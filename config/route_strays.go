package config

import (
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy"
)

// warnOfStrays warns, once for each upstream but the first, of paths whose other methods go elsewhere. Routes give some
// methods of such a path to the upstream. The rest goes to the first upstream, which gets all requests without a route,
// or to the upstream of a route for everything.
func warnOfStrays(list []*part, routes []*policy.Route, s *Snapshot) {
	if len(s.Upstreams) < 2 {
		return
	}
	for _, u := range s.Upstreams[1:] {
		var paths []policy.Pattern
		var at *part
		gets := ""
		for i, r := range routes {
			if r.Upstream != u.Name {
				continue
			}
			for _, p := range r.Patterns {
				other := strayTo(p, r, routes, s.Upstreams[0].Name)
				if other == "" {
					continue
				}
				if gets = other; at == nil {
					at = list[i]
				}
				paths = addPath(paths, p)
			}
		}
		if at != nil {
			at.warn("match", "OPTIONS, and every other method that no route has for these paths, goes to upstream %s and not to %s; write a route {name: %s-others, match: %s, policy: bypass, upstream: %s}, or one for all paths of %s",
				gets, u.Name, u.Name, matchOf(paths, routes), u.Name, u.Name)
		}
	}
}

// strayTo is the upstream that gets the methods of p's path for which no route has a pattern, where that is not r's own
// upstream; empty: no such upstream, or the split is intended. A split is intended where a route for some paths has all
// methods of this path, where a pattern names OPTIONS, and where upstreams divide the methods of the path among
// themselves.
func strayTo(p policy.Pattern, r *policy.Route, routes []*policy.Route, first string) string {
	others := first
	if p.Method() == "" {
		return ""
	}
	for _, route := range routes {
		for _, q := range route.Patterns {
			switch {
			case q.Method() != "" && q.Method() != http.MethodOptions || !q.CoversPath(p):
			case q.Method() == "" && route.Upstream != r.Upstream && everything(q):
				others = route.Upstream
			default:
				return ""
			}
		}
	}
	shares := func(route *policy.Route) bool {
		return route.Upstream == others && slices.ContainsFunc(route.Patterns, func(q policy.Pattern) bool { return !everything(q) && q.SharesPath(p) })
	}
	if slices.ContainsFunc(routes, shares) {
		return ""
	}
	return others
}

// everything reports whether a pattern matches all paths of a host.
func everything(p policy.Pattern) bool {
	path := p.Path()
	return path == "/" || strings.Count(path, "/") == 1 && strings.HasSuffix(path, "...}")
}

// addPath adds the path of a pattern, unless a pattern of paths covers that path.
func addPath(paths []policy.Pattern, p policy.Pattern) []policy.Pattern {
	if slices.ContainsFunc(paths, func(q policy.Pattern) bool { return q.CoversPath(p) }) {
		return paths
	}
	return append(slices.DeleteFunc(paths, p.CoversPath), p)
}

// matchOf is a list of patterns for all methods of the paths, as a file would have it. Where these patterns would
// conflict with others, the list has patterns for OPTIONS: a pattern for all methods of a path cannot stand beside one
// for GET of more paths.
func matchOf(paths []policy.Pattern, routes []*policy.Route) string {
	const most = 8
	method := ""
	for {
		var texts []string
		added := &policy.Route{Name: "\x00"}
		for _, path := range paths {
			p, err := policy.ParsePattern(method + path.Host() + path.Path())
			if err != nil {
				continue // impossible for a pattern that was parsed
			}
			added.Patterns, texts = append(added.Patterns, p), append(texts, `"`+p.String()+`"`)
		}
		if _, err := policy.NewTable(append(slices.Clip(routes), added)); err != nil && method == "" {
			method = http.MethodOptions + " "
			continue
		}
		if len(texts) > most {
			texts = append(texts[:most], "…")
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
}
