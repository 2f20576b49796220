package policy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Holdings say which URLs a configuration's copies can be of, whatever their host, query and header: those whose path a pattern of a
// route has that caches, and no more specific one of a route that never does. They go by the patterns alone. So they hold for every
// copy that a route with these patterns ever had, whatever its key, its lifetime, its mode and the conditions on its requests are.
//
// Text is how instances tell each other: a line for each pattern, with the name of its route before a tab where that caches. Nil Holdings hold everything: it is what stands for a text that is not understood. They are
// immutable, and safe for concurrent use.
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

// MayHold reports whether a copy can bear one of the members. It judges by the path of a URL; every other name may be any copy's.
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

// holds asks each host's patterns, since a name can be for a host and find copies of others: an API that is sent a Host of its own has
// the same copies for all. A path that no pattern can have has no copy.
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

// Within reports whether all copies that a route has in these Holdings can be of the route of that name in others, as far as can be told
// by comparing patterns as they are written.
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
