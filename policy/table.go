package policy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
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
	where   []constraint
}

// constraint is one condition of Route.Where on the value of a wildcard of the pattern.
type constraint struct {
	wildcard int
	value    *regexp.Regexp // anchored at both ends
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
	for _, r := range routes {
		for _, p := range r.Patterns {
			if len(p.segments) == 0 {
				errs = append(errs, fmt.Errorf("build table: route %q has an empty pattern", r.Name))
				continue
			}
			b := RoutePattern{Route: r.Name, Pattern: p}
			for _, a := range seen {
				if a.Pattern.conflicts(p) {
					errs = append(errs, &ConflictError{A: a, B: b})
				}
			}
			seen = append(seen, b)
		}
	}
	return errs
}

func newLeaf(r *Route, p *Pattern) (*leaf, error) {
	l := &leaf{route: r, pattern: p}
	for i, name := range p.Wildcards() {
		re := r.Where[name]
		if re == nil {
			continue
		}
		whole, err := regexp.Compile(`\A(?:` + re.String() + `)\z`)
		if err != nil {
			return nil, fmt.Errorf("build table: route %q: where %s: %w", r.Name, name, err)
		}
		l.where = append(l.where, constraint{wildcard: i, value: whole})
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
	Route *Route // nil: none
	// table is where it was found, also without a route: what a write makes unusable is named by the routes that read it.
	table   *Table
	pattern *Pattern
	values  [maxInline]string // raw, in the order of the pattern's wildcards
	more    []string          // the values beyond
	count   int
}

// Match finds the route of a request by method, host and raw path. Without one the reason is NoRoute, or UncleanPath for
// a path that is not the same to everyone. Nothing is redirected, cleaned or answered, and nothing allocated as long as
// the pattern has at most eight wildcards and no condition has to be tested on a value with escapes. A route whose
// conditions do not hold is not the request's: the next most specific one is tried.
func (t *Table) Match(method string, target httpcache.Target) (Match, Reason) {
	m := Match{table: t}
	if !isCleanPath(target.Path) {
		return m, UncleanPath
	}
	if len(t.hosts) > 0 {
		if tree := t.tree(httpcache.HostOnly(target.Host)); tree != nil && tree.match(method, target.Path, &m) {
			return m, NoReason
		}
	}
	if t.anyHost.match(method, target.Path, &m) {
		return m, NoReason
	}
	return m, NoRoute
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

func (t *methodTree) match(method, path string, m *Match) bool {
	if t.methods[method].match(path, m) {
		return true
	}
	if method == http.MethodHead && t.methods[http.MethodGet].match(path, m) {
		return true
	}
	return t.anyMethod.match(path, m)
}

// take makes l the match if its conditions hold.
func (m *Match) take(l *leaf) bool {
	for _, c := range l.where {
		value, ok := unescaped(m.raw(c.wildcard))
		if !ok || !c.value.MatchString(value) {
			return false
		}
	}
	m.Route, m.pattern = l.route, l.pattern
	return true
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
