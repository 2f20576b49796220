package policy

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	"cacheproxy/policy/httpcache"

	"golang.org/x/net/http/httpguts"
)

// Pattern is one parsed pattern of a route: [METHOD ][HOST]/[PATH] in the syntax of net/http.ServeMux. The zero value
// is no pattern; use ParsePattern. It is immutable.
type Pattern struct {
	text     string
	method   string // empty: any; GET also matches HEAD
	host     string // lower-case, without port; empty: any
	segments []segment
}

// segmentKind says what a segment of a pattern matches.
type segmentKind uint8

const (
	segLiteral segmentKind = iota // one segment of the path, equal after unescaping
	segSingle                     // any one segment that is not empty: {name}
	segRest                       // the rest of the path: {name...}, or without a name a trailing slash
	segDollar                     // the trailing slash of the path and nothing more: {$}
)

// segment is the part between two slashes of a pattern.
type segment struct {
	kind segmentKind
	text string // the unescaped literal, or the wildcard's name
}

// ParsePattern parses a pattern in the syntax of net/http.ServeMux, with its errors. It refuses three more forms that
// would silently never match: a host with a port, since requests are matched without their port; an unclean path with
// any method, since Table.Match matches no unclean path; and the wildcards of other routers, :name and *.
func ParsePattern(s string) (Pattern, error) {
	if s == "" {
		return Pattern{}, errors.New("empty pattern")
	}
	p := Pattern{text: s}
	after := s
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		p.method, after = s[:i], strings.TrimLeft(s[i+1:], " \t")
		if p.method != "" && !httpguts.ValidHeaderFieldName(p.method) {
			return Pattern{}, patternError(s, 0, fmt.Errorf("invalid method %q", p.method))
		}
	}
	slash := strings.IndexByte(after, '/')
	if slash < 0 {
		return Pattern{}, patternError(s, len(s)-len(after), errors.New("host/path missing /"))
	}
	host, rawPath := after[:slash], after[slash:]
	if err := p.setHost(host); err != nil {
		return Pattern{}, patternError(s, len(s)-len(after), err)
	}
	if rawPath != cleanPath(rawPath) {
		return Pattern{}, patternError(s, len(s)-len(rawPath), errors.New("pattern with unclean path can never match"))
	}
	if left, err := p.setPath(rawPath); err != nil {
		return Pattern{}, patternError(s, len(s)-len(left), err)
	}
	return p, nil
}

func patternError(s string, offset int, err error) error {
	return fmt.Errorf("parse pattern %q: at offset %d: %w", s, offset, err)
}

// String is the pattern as written.
func (p Pattern) String() string { return p.text }

// Method is the method of the pattern; empty for any. GET also matches HEAD.
func (p Pattern) Method() string { return p.method }

// Names reports whether a pattern of the route has exactly this method. False for a nil route.
func (r *Route) Names(method string) bool {
	return r != nil && slices.ContainsFunc(r.Patterns, func(p Pattern) bool { return p.method == method })
}

// Path is the pattern's path, with its wildcards.
func (p Pattern) Path() string { return p.text[strings.IndexByte(p.text, '/'):] }

// Host is the host of the pattern, in lower case and without port; empty for any.
func (p Pattern) Host() string { return p.host }

// Wildcards lists the names of the pattern's wildcards in their order. A trailing slash has no name.
func (p Pattern) Wildcards() []string {
	var names []string
	for _, s := range p.segments {
		if s.named() {
			names = append(names, s.text)
		}
	}
	return names
}

func (s segment) named() bool { return (s.kind == segSingle || s.kind == segRest) && s.text != "" }

func (p Pattern) last() segment { return p.segments[len(p.segments)-1] }

func (p *Pattern) setHost(host string) error {
	if strings.Contains(host, "{") {
		return errors.New("host contains '{' (missing initial '/'?)")
	}
	if httpcache.HostOnly(host) != host {
		return errors.New("host contains a port, but requests are matched by host alone: leave the port out")
	}
	p.host = strings.ToLower(strings.TrimSuffix(host, "."))
	return nil
}

// setPath parses the path of a pattern. With an error it returns the text from the offending segment on.
func (p *Pattern) setPath(left string) (string, error) {
	seen := map[string]bool{}
	for left != "" {
		left = left[1:] // it begins with a slash
		end := strings.IndexByte(left, '/')
		if end < 0 {
			end = len(left)
		}
		s, err := parseSegment(left[:end], end == len(left))
		if err != nil {
			return left, err
		}
		if s.named() && seen[s.text] {
			return left, fmt.Errorf("duplicate wildcard name %q", s.text)
		}
		seen[s.text] = s.named() || seen[s.text]
		p.segments = append(p.segments, s)
		left = left[end:]
	}
	return "", nil
}

func parseSegment(text string, atEnd bool) (segment, error) {
	if text == "" {
		return segment{kind: segRest}, nil
	}
	switch brace := strings.IndexByte(text, '{'); {
	case text[0] == ':' && isIdentifier(text[1:]):
		return segment{}, fmt.Errorf("%q is no wildcard; write {%s}, or %%3A%s for the text itself", text, text[1:], text[1:])
	case strings.Contains(text, "*"):
		return segment{}, errors.New("'*' is no wildcard; write {name} for one segment, {rest...} at the end for all that is left, or %2A for the character itself")
	case brace < 0:
		return parseLiteral(text)
	case brace > 0:
		return segment{}, errors.New("bad wildcard segment (must start with '{')")
	case text[len(text)-1] != '}':
		return segment{}, errors.New("bad wildcard segment (must end with '}')")
	}
	name := text[1 : len(text)-1]
	if name == "$" {
		if !atEnd {
			return segment{}, errors.New("{$} not at end")
		}
		return segment{kind: segDollar}, nil
	}
	name, multi := strings.CutSuffix(name, "...")
	switch {
	case multi && !atEnd:
		return segment{}, errors.New("{...} wildcard not at end")
	case name == "":
		return segment{}, errors.New("empty wildcard")
	case !isIdentifier(name):
		return segment{}, fmt.Errorf("bad wildcard name %q", name)
	case multi:
		return segment{kind: segRest, text: name}, nil
	}
	return segment{kind: segSingle, text: name}, nil
}

// parseLiteral unescapes a literal segment as ServeMux does: a badly escaped segment stands for itself.
func parseLiteral(text string) (segment, error) {
	if hasDotSegment(text) {
		return segment{}, errors.New("pattern with unclean path can never match")
	}
	if s, err := url.PathUnescape(text); err == nil {
		text = s
	}
	return segment{kind: segLiteral, text: text}, nil
}

func isIdentifier(s string) bool {
	for i, c := range s {
		if !unicode.IsLetter(c) && c != '_' && (i == 0 || !unicode.IsDigit(c)) {
			return false
		}
	}
	return s != ""
}

// cleanPath is the path that ServeMux would redirect to.
func cleanPath(p string) string {
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		return clean + "/"
	}
	return clean
}
