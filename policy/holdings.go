package policy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Holdings say of which URLs a configuration can have copies, whatever their host, query and header. A URL is among
// them where a pattern of a caching route matches its path, and no more specific pattern of a route that never caches
// does. Holdings go by the patterns alone. So they hold for every copy that a route with these patterns ever had,
// whatever its key, its lifetime, its mode and the conditions on its requests are.
//
// Text is the form in which instances exchange Holdings: a line for each pattern, with the name of its route before a
// tab where the route caches. Nil Holdings hold every URL; nil stands for a text that cannot be parsed. Holdings are
// immutable, and safe for concurrent use.
type Holdings struct {
	text  string
	lines []holding
	table *Table
}

// holding is one line: a pattern of a route that caches, or a pattern that keeps requests from such routes.
type holding struct {
	Pattern
	route string // the name of a route that caches; empty: the route does not
}

// asks are the methods of requests whose answers become copies (ContentReads.MayRead; GET includes HEAD).
var asks = []string{http.MethodGet, http.MethodPost, query}

// HoldingsOf are the Holdings of a configuration's routes.
func HoldingsOf(routes []*Route) *Holdings {
	var lines []string
	for _, r := range routes {
		for _, p := range r.Patterns {
			switch {
			case r.Caches:
				lines = append(lines, r.Name+"\t"+p.text)
			case !r.conditional(p): // a conditional pattern may leave a request to the other routes
				lines = append(lines, "\t"+p.text)
			}
		}
	}
	slices.Sort(lines)
	h, err := ParseHoldings(strings.Join(slices.Compact(lines), "\n"))
	if err != nil {
		return nil // cannot happen: the patterns were parsed before
	}
	return h
}

// ParseHoldings reads the form of Text.
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
	// Of equal patterns the later one comes first: where any of them caches, a copy is possible.
	for _, caches := range []bool{false, true} {
		for i := range h.lines {
			if l := &h.lines[i]; (l.route != "") == caches {
				h.table.add(&leaf{route: &Route{Caches: caches}, pattern: &l.Pattern})
			}
		}
	}
	return h, nil
}

// Text is the form that ParseHoldings reads. Equal Holdings have equal texts. Empty: there are no copies.
func (h *Holdings) Text() string { return h.text }

// MayHold reports whether a copy can bear one of the members. It judges URLs by their path; any copy may bear a member
// of another kind.
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

// holds tries the patterns of every host. A name may be for one host and find copies of others: an API that is sent a
// Host of its own has the same copies for all hosts. A path that no pattern can match has no copy.
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

// Within reports whether all copies of a route can also be copies of the route of that name in others: one of others
// must allow each pattern of the route (see allows). Within only compares the texts of patterns.
func (h *Holdings) Within(r *Route, others []*Holdings) bool {
	return !slices.ContainsFunc(r.Patterns, func(p Pattern) bool {
		return !slices.ContainsFunc(others, func(o *Holdings) bool { return o != nil && h.allows(r.Name, p, o) })
	})
}

// allows reports whether o has a route's pattern too, and no pattern that takes requests from the route and is missing
// in h.
func (h *Holdings) allows(route string, p Pattern, o *Holdings) bool {
	has := func(in *Holdings, route, text string) bool {
		return slices.ContainsFunc(in.lines, func(l holding) bool { return l.route == route && l.text == text })
	}
	return has(o, route, p.text) && !slices.ContainsFunc(o.lines, func(l holding) bool {
		return l.route == "" && l.SharesPath(p) && !has(h, "", l.text)
	})
}
