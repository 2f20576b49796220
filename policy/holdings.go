package policy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Holdings say of which URLs a configuration can have copies: those whose path matches a pattern of a route that caches, and no more specific pattern of a
// route that never does. They depend on the patterns alone, and so are right for every copy that routes with these patterns ever had, whatever the
// host, query and header of the request, and the route's key, lifetimes, mode and conditions.
//
// Instances tell them to each other as Text: a line for each pattern, which begins with the name of the route, if it caches, and a tab. Nil Holdings may
// hold anything; they stand for a text that cannot be parsed. Holdings are immutable, and safe for concurrent use.
type Holdings struct {
	text  string
	lines []holding
	table *Table
}

// holding is one line: a pattern of a route that caches, or one that keeps requests from such routes.
type holding struct {
	Pattern
	route string // that caches; empty: one that does not
}

// asks are the methods whose answers copies are of (ContentReads.MayRead; HEAD comes with GET).
var asks = []string{http.MethodGet, http.MethodPost, query}

// HoldingsOf are those of a configuration's routes.
func HoldingsOf(routes []*Route) *Holdings {
	var lines []string
	for _, r := range routes {
		for _, p := range r.Patterns {
			switch {
			case r.Caches:
				lines = append(lines, r.Name+"\t"+p.text)
			case !r.conditional(p): // else a request that it does not want goes on to the others
				lines = append(lines, "\t"+p.text)
			}
		}
	}
	slices.Sort(lines)
	h, err := ParseHoldings(strings.Join(slices.Compact(lines), "\n"))
	if err != nil {
		return nil // patterns that were parsed before can be parsed
	}
	return h
}

// ParseHoldings reads what Text has written.
func ParseHoldings(text string) (*Holdings, error) {
	h := &Holdings{text: text, table: &Table{hosts: map[string]*methodTree{}}}
	for line := range strings.Lines(text) {
		route, pattern, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			return nil, errors.New("parse holdings: a line has no tab")
		}
		p, err := ParsePattern(pattern)
		if err != nil {
			return nil, fmt.Errorf("parse holdings: %w", err)
		}
		h.lines = append(h.lines, holding{p, route})
	}
	// Of equal patterns the one that is added later comes first: where one of them caches, a copy is possible.
	for _, caches := range []bool{false, true} {
		for i := range h.lines {
			if l := &h.lines[i]; (l.route != "") == caches {
				h.table.add(&leaf{route: &Route{Caches: caches}, pattern: &l.Pattern})
			}
		}
	}
	return h, nil
}

// Text is what ParseHoldings reads: equal for equal Holdings. Empty: there are no copies.
func (h *Holdings) Text() string { return h.text }

// MayHold reports whether a copy can have one of the members. It can tell only for members with the path of a URL; any copy may have others.
func (h *Holdings) MayHold(members []Member) bool {
	return h == nil || slices.ContainsFunc(members, func(m Member) bool {
		host, path, ok := strings.Cut(m.Value(), "/")
		if m.Kind() != KindURL || !ok || host == purgedHost {
			return true
		}
		path, _, _ = strings.Cut("/"+path, "?")
		return h.holds(path)
	})
}

// holds reports whether a copy can have the path. It asks the patterns of every host, since a member with one host can be that of copies for other hosts,
// if their API has a Host of its own. An unclean path matches no pattern, and has no copy.
func (h *Holdings) holds(path string) bool {
	if !isCleanPath(path) {
		return false
	}
	in := func(t *methodTree, method string) bool {
		a := asking{every: true}
		t.match(method, path, &Match{}, &a)
		return slices.ContainsFunc(a.routes, func(r *Route) bool { return r.Caches })
	}
	for _, method := range asks {
		if in(&h.table.anyHost, method) {
			return true
		}
		for _, t := range h.table.hosts {
			if in(t, method) {
				return true
			}
		}
	}
	return false
}

// Within reports whether all copies that a route has according to h are also among those of the route of the same name in one of others, as far as can be
// told by comparing the texts of patterns.
func (h *Holdings) Within(r *Route, others []*Holdings) bool {
	return !slices.ContainsFunc(r.Patterns, func(p Pattern) bool {
		return !slices.ContainsFunc(others, func(o *Holdings) bool { return o != nil && h.allows(r.Name, p, o) })
	})
}

// allows reports whether o has a route's pattern too, and nothing that takes requests from it which is not also in h.
func (h *Holdings) allows(route string, p Pattern, o *Holdings) bool {
	has := func(in *Holdings, route, text string) bool {
		return slices.ContainsFunc(in.lines, func(l holding) bool { return l.route == route && l.text == text })
	}
	return has(o, route, p.text) && !slices.ContainsFunc(o.lines, func(l holding) bool {
		return l.route == "" && l.SharesPath(p) && !has(h, "", l.text)
	})
}
