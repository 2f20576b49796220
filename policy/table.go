package policy

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Table finds the route of a request: the most specific pattern wins, as in net/http.ServeMux. It is immutable and safe
// for concurrent use. The zero value has no routes.
type Table struct {
	hosts   map[string]*methodTree // by lower-case host without port
	anyHost methodTree
}

// methodTree holds the patterns of one host.
type methodTree struct {
	methods   map[string]*node
	anyMethod node
	prefixes  prefixes
}

// leaf is where a pattern ends.
type leaf struct {
	route   *Route
	pattern *Pattern
	path    []constraint // on wildcards, of which the i-th is the pattern's i-th; without an expression: none
	rest    []constraint // on what else a request says
	clients []netip.Prefix
}

// conditional reports whether the pattern alone does not make a request the route's.
func (l *leaf) conditional() bool { return len(l.path)+len(l.rest)+len(l.clients) > 0 }

// constraint is one condition of Route.Where.
type constraint struct {
	of       Placeholder
	wildcard int            // its place in the pattern, where the condition is on one
	value    *regexp.Regexp // anchored at both ends
}

// asking is what a match is made with, besides method, host and path.
type asking struct {
	query  string // as it came
	header http.Header
	client netip.Addr
	// every collects in routes all routes that a request for the path could match, whether or not it meets their conditions on anything but the
	// path.
	every  bool
	routes []*Route
}

// NewTable builds the table of routes. Every pair of patterns that conflicts is reported, as a *ConflictError each in
// one joined error (its Unwrap() []error lists them). The routes must not be changed afterwards.
func NewTable(routes []*Route) (*Table, error) {
	if errs := conflicts(routes); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	t := &Table{hosts: map[string]*methodTree{}}
	for _, r := range routes {
		for i := range r.Patterns {
			l, err := newLeaf(r, &r.Patterns[i])
			if err != nil {
				return nil, err
			}
			t.add(l)
		}
	}
	return t, nil
}

func conflicts(routes []*Route) (errs []error) {
	var seen []RoutePattern
	var conditional []bool // of each seen
	var owners []*Route
	for _, r := range routes {
		for _, p := range r.Patterns {
			if len(p.segments) == 0 {
				errs = append(errs, fmt.Errorf("build table: route %q has an empty pattern", r.Name))
				continue
			}
			b, where := RoutePattern{Route: r.Name, Pattern: p}, r.conditional(p)
			for i, a := range seen {
				// Of routes with the same pattern those with conditions are tried first.
				told := (where || conditional[i]) && owners[i] != r && a.Pattern.equals(p)
				if a.Pattern.conflicts(p) && !told {
					errs = append(errs, &ConflictError{A: a, B: b})
				}
			}
			seen, conditional, owners = append(seen, b), append(conditional, where), append(owners, r)
		}
	}
	return errs
}

// conditional reports whether not all requests that the pattern matches are the route's.
func (r *Route) conditional(p Pattern) bool {
	for of := range r.Where {
		if of.Kind != FromWildcard || slices.Contains(p.Wildcards(), of.Name) {
			return true
		}
	}
	return len(r.Clients) > 0
}

func newLeaf(r *Route, p *Pattern) (*leaf, error) {
	l := &leaf{route: r, pattern: p, clients: r.Clients}
	wildcards := p.Wildcards()
	for of, re := range r.Where {
		whole, err := regexp.Compile(`\A(?:` + re.String() + `)\z`)
		if err != nil {
			return nil, fmt.Errorf("build table: route %q: where %s: %w", r.Name, of.Name, err)
		}
		c := constraint{of: of, value: whole, wildcard: slices.Index(wildcards, of.Name)}
		switch {
		case of.Kind != FromWildcard:
			l.rest = append(l.rest, c)
		case c.wildcard >= 0:
			l.path = append(l.path, c)
		}
	}
	return l, nil
}

func (t *Table) add(l *leaf) {
	tree := &t.anyHost
	if host := l.pattern.host; host != "" {
		if t.hosts[host] == nil {
			t.hosts[host] = &methodTree{}
		}
		tree = t.hosts[host]
	}
	tree.prefixes.add(l)
	n := &tree.anyMethod
	if method := l.pattern.method; method != "" {
		if tree.methods == nil {
			tree.methods = map[string]*node{}
		}
		if tree.methods[method] == nil {
			tree.methods[method] = &node{}
		}
		n = tree.methods[method]
	}
	n.add(l.pattern.segments, l)
}

// maxInline is how many wildcards a Match holds without allocating.
const maxInline = 8

// Match is the route of a request and what its wildcards stand for. It is a value of one request and not safe for
// concurrent writing.
type Match struct {
	Route   *Route // nil: none
	Skipped *Route // the most specific one whose pattern matches and whose conditions do not hold; nil: none
	// table is where it was found, also without a route: what a write makes unusable is named by the routes that read it.
	table   *Table
	pattern *Pattern
	values  [maxInline]string // raw, in the order of the pattern's wildcards
	more    []string          // the values beyond
	count   int
}

// Match finds the route of a request by method, host and raw path, and where routes have conditions, by its query as it came, its
// header and the address that it is from. Without one the reason is NoRoute, or UncleanPath for
// a path that is not the same to everyone. Nothing is redirected, cleaned or answered, and nothing allocated as long as
// the pattern has at most eight wildcards and no condition has to be tested on a value with escapes or in several lines. A route whose
// conditions do not hold is not the request's: the next most specific one is tried, of those with the same pattern in the
// order of the routes, and the one without conditions last.
func (t *Table) Match(method string, target httpcache.Target, header http.Header, client netip.Addr) (Match, Reason) {
	m := Match{table: t}
	if !isCleanPath(target.Path) {
		return m, UncleanPath
	}
	a := asking{query: target.Query, header: header, client: client}
	if !t.find(method, target, &m, &a) {
		return m, NoRoute
	}
	return m, NoReason
}

// readers returns the routes that a GET of a target may match, whatever its query, header and client.
func (t *Table) readers(target httpcache.Target) []*Route {
	if !isCleanPath(target.Path) {
		return nil
	}
	a := asking{every: true}
	t.find(http.MethodGet, target, &Match{table: t}, &a)
	return a.routes
}

func (t *Table) find(method string, target httpcache.Target, m *Match, a *asking) bool {
	if len(t.hosts) > 0 {
		if tree := t.tree(httpcache.HostOnly(target.Host)); tree != nil && tree.match(method, target.Path, m, a) {
			return true
		}
	}
	return t.anyHost.match(method, target.Path, m, a)
}

// tree finds the patterns of a host, whatever its case.
func (t *Table) tree(host string) *methodTree {
	var buf [255]byte // no host name is longer (RFC 1035 §2.3.4)
	if len(host) > len(buf) {
		return t.hosts[strings.ToLower(host)]
	}
	for i := range len(host) {
		c := host[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return t.hosts[string(buf[:len(host)])]
}

func (t *methodTree) match(method, path string, m *Match, a *asking) bool {
	if t.methods[method].match(path, m, a) {
		return true
	}
	if method == http.MethodHead && t.methods[http.MethodGet].match(path, m, a) {
		return true
	}
	return t.anyMethod.match(path, m, a)
}

// take matches the first of the leaves whose conditions hold, and reports whether there is one. With a.every it collects routes instead, and reports true
// only at a leaf without conditions beyond the path, where the search may end.
func (m *Match) take(leaves []*leaf, a *asking) bool {
	for _, l := range leaves {
		if !m.fits(l, a) {
			if m.Skipped == nil {
				m.Skipped = l.route
			}
			continue
		}
		if a.every {
			a.routes = append(a.routes, l.route)
			if len(l.rest)+len(l.clients) > 0 {
				continue
			}
		}
		m.Route, m.pattern = l.route, l.pattern
		return true
	}
	return false
}

func (m *Match) fits(l *leaf, a *asking) bool {
	for i := range l.path {
		c := &l.path[i]
		if value, ok := unescaped(m.raw(c.wildcard)); !ok || !c.value.MatchString(value) {
			return false
		}
	}
	if a.every {
		return true
	}
	for i := range l.rest {
		if !a.meets(&l.rest[i]) {
			return false
		}
	}
	return len(l.clients) == 0 || slices.ContainsFunc(l.clients, func(p netip.Prefix) bool { return p.Contains(a.client) })
}

// meets reports whether what the request says meets a condition.
func (a *asking) meets(c *constraint) bool {
	there := false
	switch c.of.Kind {
	case FromHeader:
		return c.value.MatchString(httpcache.Combined(a.header[c.of.Name]))
	case FromQuery:
		for value := range httpcache.QueryValues(a.query, c.of.Name) {
			if there = true; !c.value.MatchString(value) {
				return false
			}
		}
	default:
		for value := range httpcache.CookieValues(a.header, c.of.Name) {
			if there = true; !c.value.MatchString(value) {
				return false
			}
		}
	}
	return there || c.value.MatchString("")
}

func (m *Match) push(value string) {
	if m.count < maxInline {
		m.values[m.count] = value
	} else {
		m.more = append(m.more, value)
	}
	m.count++
}

// pop undoes the last push.
func (m *Match) pop() {
	m.count--
	if m.count >= maxInline {
		m.more = m.more[:m.count-maxInline]
	}
}

func (m *Match) raw(i int) string {
	if i < maxInline {
		return m.values[i]
	}
	return m.more[i-maxInline]
}

// wildcard is what a wildcard of the matched pattern stands for, unescaped once. It reports false when the pattern has
// no wildcard of this name.
func (m *Match) wildcard(name string) (string, bool) {
	raw, ok := m.rawWildcard(name)
	if !ok {
		return "", false
	}
	return unescaped(raw)
}

func (m *Match) rawWildcard(name string) (string, bool) {
	if m == nil || m.pattern == nil {
		return "", false
	}
	i := 0
	for _, s := range m.pattern.segments {
		if !s.named() {
			continue
		}
		if s.text == name {
			return m.raw(i), true
		}
		i++
	}
	return "", false
}

// Pattern is the pattern that matched; the zero Pattern when none did.
func (m *Match) Pattern() Pattern {
	if m.pattern == nil {
		return Pattern{}
	}
	return *m.pattern
}

func unescaped(raw string) (string, bool) {
	if strings.IndexByte(raw, '%') < 0 {
		return raw, true
	}
	s, err := url.PathUnescape(raw)
	return s, err == nil
}
