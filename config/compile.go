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

// positive is the duration under a key. Zero is refused where it was written.
func (l *loader) positive(p *Part, name string) time.Duration {
	d := p.duration(name)
	switch byDefault := p.row(name).byDefault; {
	case !l.has(p.at(name)) || d > 0:
	case byDefault != "":
		l.problem(p.at(name), "is zero; write %s, the default, or another duration", byDefault)
	default:
		l.problem(p.at(name), "is zero; write a duration such as 10m, or remove it")
	}
	return d
}

// positiveOr is positive where other keys decide what holds by default.
func (l *loader) positiveOr(p *Part, name string, derived time.Duration) time.Duration {
	d := derived
	if at := p.at(name); l.has(at) {
		if d = p.duration(name); d == 0 {
			l.problem(at, "is zero; write %s, the default, or another duration", derived)
		}
	}
	p.setInForce(name, d)
	return d
}

// atLeastOne is the number under a key. Zero is refused.
func (l *loader) atLeastOne(p *Part, name string) int {
	n := p.number(name)
	if l.has(p.at(name)) && n == 0 {
		l.problem(p.at(name), "is zero; write %s, the default, or another number", p.row(name).byDefault)
	}
	return n
}

// noneOrMore is the number under a key. Zero means none, which the options of an upstream write as -1.
func noneOrMore(p *Part, name string) int {
	if n := p.number(name); n > 0 {
		return n
	}
	return -1
}
