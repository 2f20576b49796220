package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cacheproxy/policy"
)

// compile checks the document and turns it into a Snapshot, which is worthless when there were problems.
func (l *loader) compile(doc *Part) *Snapshot {
	s := &Snapshot{doc: doc}
	l.server(doc, s)
	s.Upstreams = l.upstreams(doc.sections("upstreams"))
	s.Settle = l.settles(doc.sections("upstreams"))
	s.Routes = l.routes(doc.sections("routes"), s)
	if len(l.problems) == 0 {
		var err error
		if s.Table, err = policy.NewTable(s.Routes); err != nil {
			l.problem("routes", "%w", err)
		}
		l.noteDocument(doc)
		s.settings = l.settings
	}
	s.Warnings = l.warnings.sorted()
	return s
}

// conflicts reports pairs of patterns of which neither is more specific. It also looks at routes that have other
// problems, so that all are reported at once.
func (l *loader) conflicts(routes []*policy.Route) {
	nameless := make([]*policy.Route, len(routes)) // known by their place, since names may be missing or taken
	for i, r := range routes {
		nameless[i] = &policy.Route{Name: index("routes", i), Patterns: r.Patterns}
	}
	_, err := policy.NewTable(nameless)
	for _, err := range unjoin(err) {
		var conflict *policy.ConflictError
		if !errors.As(err, &conflict) {
			l.problem("routes", "%w", err)
			continue
		}
		a, b := l.written(nameless, conflict.A, false), l.written(nameless, conflict.B, true)
		_, reason, _ := strings.Cut(err.Error(), fmt.Sprintf("of route %q: ", conflict.A.Route))
		l.problem(b, "%s conflicts with %s on line %d: %s", quote(conflict.B.Pattern.String()),
			quote(conflict.A.Pattern.String()), l.at(a).line, reason)
	}
}

// unjoin lists the errors that errors.Join made one.
func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// written is the path where a pattern stands: the last one of those that are equal, or the first.
func (l *loader) written(routes []*policy.Route, p policy.RoutePattern, last bool) (path string) {
	for _, r := range routes {
		for i, pattern := range r.Patterns {
			if r.Name == p.Route && pattern.String() == p.Pattern.String() && (last || path == "") {
				path = index(r.Name+".match", i)
			}
		}
	}
	return path
}

// durationOr is the duration under a key where other keys decide what holds by default.
func (l *loader) durationOr(p *Part, name string, derived time.Duration) time.Duration {
	if l.has(p.at(name)) {
		return p.duration(name)
	}
	p.setInForce(name, derived)
	return derived
}

// noneOrMore is the number under a key. Zero means none, which the options of an upstream write as -1.
func noneOrMore(p *Part, name string) int {
	if n := p.number(name); n > 0 {
		return n
	}
	return -1
}
