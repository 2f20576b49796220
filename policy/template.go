package policy

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"

	"golang.org/x/net/http/httpguts"
)

// Template is a parsed text with placeholders such as v2:product:{id}. The zero value is no template. It is immutable.
type Template struct {
	text  string
	parts []part
}

// part is a text, or a placeholder where its kind is set.
type part struct {
	text        string
	placeholder Placeholder
}

// Placeholder is one placeholder of a template.
type Placeholder struct {
	Kind PlaceholderKind
	Name string // of the wildcard, parameter, field (canonical) or cookie; the path into the body; empty for the host
}

// PlaceholderKind is the source of the value of a placeholder.
type PlaceholderKind uint8

const (
	FromWildcard PlaceholderKind = iota + 1 // {name}: a wildcard of the pattern
	FromQuery                               // {query.NAME}: a query parameter
	FromHeader                              // {header.NAME}: a request header field
	FromCookie                              // {cookie.NAME}: a request cookie
	FromHost                                // {host}: the client's Host, in lower case and without port
	FromBody                                // {body.PATH}: a value of the request's JSON; only for invalidations
	FromResponse                            // {response.PATH}: a value of the answer's JSON; only for invalidations
)

// ParseTemplate parses a text with placeholders {wildcard}, {query.NAME}, {header.NAME}, {cookie.NAME}, {host},
// {body.PATH} and {response.PATH}; {{ and }} stand for braces. PATH is a path of gjson: names and indexes separated by
// dots, and # for every element of an array, such as items.#.sku.
func ParseTemplate(s string) (Template, error) {
	if s == "" {
		return Template{}, errors.New("parse template: it is empty")
	}
	t := Template{text: s}
	var text strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case (c == '{' || c == '}') && i+1 < len(s) && s[i+1] == c:
			text.WriteByte(c)
			i++
		case c == '}':
			return Template{}, fmt.Errorf("parse template %q: '}' at offset %d closes nothing: write }} for a brace", s, i)
		case c == '{':
			inner, _, closed := strings.Cut(s[i+1:], "}")
			if !closed {
				return Template{}, fmt.Errorf("parse template %q: '{' at offset %d is not closed: write {{ for a brace", s, i)
			}
			p, err := parsePlaceholder(inner)
			if err != nil {
				return Template{}, fmt.Errorf("parse template %q: {%s}: %w", s, inner, err)
			}
			t.add(&text, p)
			i += len(inner) + 1
		default:
			text.WriteByte(c)
		}
	}
	t.add(&text, Placeholder{})
	return t, nil
}

// add appends the text so far, and p unless its kind is zero.
func (t *Template) add(text *strings.Builder, p Placeholder) {
	if text.Len() > 0 {
		t.parts = append(t.parts, part{text: text.String()})
		text.Reset()
	}
	if p.Kind != 0 {
		t.parts = append(t.parts, part{placeholder: p})
	}
}

func parsePlaceholder(s string) (Placeholder, error) {
	source, name, dotted := strings.Cut(s, ".")
	switch {
	case s == "host":
		return Placeholder{Kind: FromHost}, nil
	case !dotted && isIdentifier(s):
		return Placeholder{Kind: FromWildcard, Name: s}, nil
	case !dotted:
		return Placeholder{}, errors.New("bad wildcard name: it has letters, digits and _, and begins with no digit, whether it is a wildcard or a column")
	case name == "":
		return Placeholder{}, fmt.Errorf("a name must follow %q", source+".")
	case source != "body" && source != "response" && strings.Contains(name, "*"):
		return Placeholder{}, errors.New("has a *, but stands for the value of one name: write that")
	}
	switch source {
	case "query":
		return Placeholder{Kind: FromQuery, Name: name}, nil
	case "header":
		if !httpguts.ValidHeaderFieldName(name) {
			return Placeholder{}, errors.New("bad header field name")
		}
		return Placeholder{Kind: FromHeader, Name: textproto.CanonicalMIMEHeaderKey(name)}, nil
	case "cookie":
		if !httpguts.ValidHeaderFieldName(name) {
			return Placeholder{}, errors.New("bad cookie name")
		}
		return Placeholder{Kind: FromCookie, Name: name}, nil
	case "body":
		return Placeholder{Kind: FromBody, Name: name}, checkBodyPath(name)
	case "response":
		return Placeholder{Kind: FromResponse, Name: name}, checkBodyPath(name)
	}
	return Placeholder{}, errors.New("want a wildcard, query., header., cookie., body., response. or host")
}

// checkBodyPath refuses the syntax of gjson beyond names, indexes and "#". Such a path may select fewer values than the
// write changes, and copies of the others would stay valid.
func checkBodyPath(p string) error {
	steps := strings.Split(p, ".")
	for _, step := range steps {
		if step == "" {
			return errors.New("the body path has an empty step")
		}
		if step != "#" && strings.ContainsAny(step, `#*?|@!\()[]{}"'<>=~%:,`) {
			return errors.New("the body path may have names, indexes and # for every element of an array, nothing else")
		}
	}
	if steps[len(steps)-1] == "#" {
		return errors.New("the body path ends with #, which is a number of elements: name what is wanted of each")
	}
	return nil
}

// String is the template as written.
func (t Template) String() string { return t.text }

// Zero reports whether t is no template at all.
func (t Template) Zero() bool { return t.text == "" }

// Placeholders lists the placeholders in their order.
func (t Template) Placeholders() []Placeholder {
	var all []Placeholder
	for _, p := range t.parts {
		if p.placeholder.Kind != 0 {
			all = append(all, p.placeholder)
		}
	}
	return all
}

// UsesBody reports whether rendering needs the body of the request.
func (t Template) UsesBody() bool { return t.uses(FromBody) }

// UsesResponse reports whether rendering needs the body of the response.
func (t Template) UsesResponse() bool { return t.uses(FromResponse) }

func (t Template) uses(kind PlaceholderKind) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.placeholder.Kind == kind })
}

// escapeName makes a value fit for a name. It percent-encodes the separators of names and all bytes that could imitate
// them, so that two different values never give the same name.
func escapeName(value string) string {
	return httpcache.Escape(value, func(c byte) bool { return c == ':' || c == '/' || c == '%' || c < ' ' || c == 0x7f })
}
