package policy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// relation says how the requests of one pattern relate to those of another.
type relation uint8

const (
	equivalent   relation = iota // the same requests
	moreGeneral                  // all requests of the other, and more
	moreSpecific                 // a part of the other's requests
	overlapping                  // some requests in common, and some of its own for each
	disjoint                     // no request in common
)

// conflicts reports whether both patterns match some request and neither wins. A pattern with a host wins over one
// without. Otherwise the pattern wins whose methods and paths are a subset of the other's.
//
// The rules are those of net/http.ServeMux, and TestTableLikeServeMux compares the two. A ServeMux itself would not do.
// It panics at the first conflict, where all conflicts are to be reported. It names lines of this program, where lines
// of the configuration are needed. It distinguishes the case of hosts, and takes an escaped slash for the end of a
// path.
func (p Pattern) conflicts(q Pattern) bool {
	if p.host != q.host {
		return false
	}
	r := combine(compareMethods(p.method, q.method), comparePaths(p, q))
	return r == equivalent || r == overlapping
}

// equals reports whether both match the same requests.
func (p Pattern) equals(q Pattern) bool {
	return p.host == q.host && p.method == q.method && comparePaths(p, q) == equivalent
}

func compareMethods(a, b string) relation {
	switch {
	case a == b:
		return equivalent
	case a == "", a == http.MethodGet && b == http.MethodHead:
		return moreGeneral
	case b == "", b == http.MethodGet && a == http.MethodHead:
		return moreSpecific
	}
	return disjoint
}

func comparePaths(p, q Pattern) relation {
	r := equivalent
	n := min(len(p.segments), len(q.segments))
	for i := range n {
		r = combine(r, compareSegments(p.segments[i], q.segments[i]))
	}
	// The last segment of the shorter pattern must cover the rest of the longer one.
	switch {
	case len(p.segments) == len(q.segments):
		return r
	case len(p.segments) == n && p.last().kind == segRest:
		return combine(r, moreGeneral)
	case len(q.segments) == n && q.last().kind == segRest:
		return combine(r, moreSpecific)
	}
	return disjoint
}

func compareSegments(a, b segment) relation {
	switch {
	case a.kind == segRest && b.kind == segRest:
		return equivalent
	case a.kind == segRest:
		return moreGeneral
	case b.kind == segRest:
		return moreSpecific
	case a.kind == b.kind && (a.kind != segLiteral || a.text == b.text):
		return equivalent
	case a.kind == segSingle && b.kind == segLiteral:
		return moreGeneral
	case a.kind == segLiteral && b.kind == segSingle:
		return moreSpecific
	}
	return disjoint
}

// SharesPath reports whether both patterns match some path of one host, whatever the method.
func (p Pattern) SharesPath(q Pattern) bool {
	return (p.host == q.host || p.host == "" || q.host == "") && comparePaths(p, q) != disjoint
}

// CoversPath reports whether p matches every path that q matches, of every host of q, whatever the method.
func (p Pattern) CoversPath(q Pattern) bool {
	paths := comparePaths(p, q)
	return (p.host == "" || p.host == q.host) && (paths == equivalent || paths == moreGeneral)
}

// Position is the index of the segment of a wildcard; negative: the pattern has no such wildcard.
func (p Pattern) Position(wildcard string) int {
	return slices.IndexFunc(p.segments, func(s segment) bool { return s.named() && s.text == wildcard })
}

// combine is the relation of wholes with two independent parts, given the relations of the parts.
func combine(a, b relation) relation {
	switch {
	case a == disjoint || b == disjoint:
		return disjoint
	case a == equivalent:
		return b
	case b == equivalent || a == b:
		return a
	}
	return overlapping
}

// RoutePattern is one pattern with the name of its route.
type RoutePattern struct {
	Route   string
	Pattern Pattern
}

// ConflictError says that two patterns have a request in common and neither is more specific, so that neither takes
// precedence.
type ConflictError struct {
	A, B RoutePattern // in the order of the routes
}

// Error explains the conflict with example paths.
func (e *ConflictError) Error() string {
	who := fmt.Sprintf("pattern %q of route %q conflicts with pattern %q of route %q: ",
		e.B.Pattern, e.B.Route, e.A.Pattern, e.A.Route)
	return who + e.reason()
}

func (e *ConflictError) reason() string {
	a, b := e.A.Pattern, e.B.Pattern
	methods, paths := compareMethods(a.method, b.method), comparePaths(a, b)
	switch {
	case combine(methods, paths) == equivalent:
		return "both match the same requests: remove one, or tell them apart with where"
	case paths == overlapping:
		return fmt.Sprintf("both match paths like %q, but neither is more specific: %q matches only the first, %q only the second",
			commonPath(a, b), differencePath(a, b), differencePath(b, a))
	case methods == moreGeneral:
		return fmt.Sprintf("%q matches more methods, but has the more specific path: name a method in both", a)
	}
	return fmt.Sprintf("%q matches fewer methods, but has the more general path: name a method in both", a)
}

// example is a path segment that s matches.
func (s segment) example() string {
	switch {
	case s.kind == segDollar || s.kind == segRest:
		return "/"
	default:
		return "/" + s.text
	}
}

// commonPath is a path that both patterns match. They must overlap.
func commonPath(p, q Pattern) string {
	var b strings.Builder
	long, short := p.segments, q.segments
	if len(long) < len(short) {
		long, short = short, long
	}
	for i, s := range long {
		if i < len(short) && s.kind != segLiteral && s.kind != segDollar && short[i].kind != segRest {
			s = short[i]
		}
		b.WriteString(s.example())
	}
	return b.String()
}

// differencePath is a path that p matches and q does not. The patterns must overlap.
func differencePath(p, q Pattern) string {
	var b strings.Builder
	for i, s := range p.segments {
		if i >= len(q.segments) {
			b.WriteString(s.example())
			continue
		}
		t := q.segments[i]
		switch {
		case s.kind == segRest && t.kind == segDollar:
			return b.String() + "/x"
		case s.kind == segRest:
			return b.String() + "/"
		case s.kind == segSingle && t.kind == segLiteral && s.text == t.text:
			b.WriteString(s.example() + "x")
		default:
			b.WriteString(s.example())
		}
	}
	return b.String()
}
