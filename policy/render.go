package policy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Values are the values of placeholders in one request. Rendering changes nothing in them.
type Values struct {
	Match  *Match // nil: no wildcards
	Header http.Header
	Target httpcache.Target
	Query  string // as forwarded
	row    *row   // nil: the values are those of a request
	// answer is the JSON that answers a write; nil: not there yet.
	answer *document
}

var (
	errNoValue = errors.New("no value")
	errNoBody  = errors.New("the body is not at hand")
)

// Render fills in the placeholders, each with its first value. Separators of names in a value are percent-encoded
// (escapeName), so that two requests never give the same name by their values. If a placeholder has no value, Render
// leaves it empty and reports false; the body has no values here.
func (t Template) Render(v Values) (string, bool) {
	return t.renderFirst(v, func(_ Placeholder, value string) string { return escapeName(value) })
}

// RenderMasked is Render for readers who must not learn all that a client sends: values of the query, of header fields
// and of cookies become "…".
func (t Template) RenderMasked(v Values) (string, bool) {
	return t.renderFirst(v, func(p Placeholder, value string) string {
		if p.Kind != FromWildcard && p.Kind != FromHost {
			return "…"
		}
		return escapeName(value)
	})
}

func (t Template) renderFirst(v Values, write func(Placeholder, string) string) (string, bool) {
	var b strings.Builder
	complete := true
	for _, p := range t.parts {
		b.WriteString(p.text)
		if p.placeholder.Kind == 0 {
			continue
		}
		values, err := p.placeholder.values(v, nil)
		if err != nil || len(values) == 0 {
			complete = false
			continue
		}
		b.WriteString(write(p.placeholder, values[0]))
	}
	return b.String(), complete
}

// form says how a template writes a value.
type form struct {
	write func(p Placeholder, v Values, value string) string
	// whole says that an empty value does not count, because the rest of the name would then stand for more copies than
	// the template means. A value from the path may be empty: the route's pattern admits it.
	whole bool
}

var (
	// nameForm is the form of keys and tags.
	nameForm = form{write: func(_ Placeholder, _ Values, value string) string { return escapeName(value) }}
	// urlForm is the form of URLs: a wildcard stays as in the path; any other value, columns included, is
	// percent-encoded.
	urlForm = form{write: writeURL}
	// prefixForm is the form of prefixes.
	prefixForm = form{write: writeURL, whole: true}
)

func writeURL(p Placeholder, v Values, value string) string {
	switch {
	case v.row != nil:
		return httpcache.Escape(value, func(c byte) bool { return !httpcache.IsUnreserved(c) && (c != '/' || !v.row.slashes) })
	case p.Kind == FromWildcard:
		raw, _ := v.Match.rawWildcard(p.Name)
		return raw
	case p.Kind == FromHost:
		return value
	}
	return httpcache.Escape(value, func(c byte) bool { return !httpcache.IsUnreserved(c) })
}

// render combines every value of every placeholder. A placeholder without a value renders as empty, and missing reports
// that. render counts values before it writes them, and names before it makes them: beyond the bounds of one request it
// returns no names and an *ExcessError. Beside any other error it returns the names of the values of a body or an
// answer that are certain.
func (t Template) render(v Values, doc *document, as form) (names []string, missing bool, err error) {
	lists := make([][]string, len(t.parts))
	var several []string
	for i, p := range t.parts {
		if p.placeholder.Kind == 0 {
			lists[i] = []string{p.text}
			continue
		}
		values, failed := p.placeholder.values(v, doc)
		if failed != nil {
			if len(values) == 0 {
				return nil, false, failed
			}
			err = failed
		}
		if as.whole && (p.placeholder.Kind != FromWildcard || v.row != nil) {
			values = slices.DeleteFunc(values, func(value string) bool {
				return value == "" || v.row != nil && v.row.slashes && strings.Trim(value, "/") == "" // a prefix is cut at its last segment
			})
		}
		if len(values) > 1 {
			several = append(several, p.placeholder.source())
		}
		for j := range values {
			values[j] = as.write(p.placeholder, v, values[j])
		}
		if len(values) == 0 {
			values, missing = []string{""}, true
		}
		slices.Sort(values)
		lists[i] = values
	}
	count, excess := combinations(lists, several)
	if excess != nil {
		excess.ofBody = t.UsesBody() || t.UsesResponse()
		return nil, missing, excess
	}
	names = []string{""}
	for _, values := range lists {
		longer := make([]string, 0, count)
		for _, name := range names {
			for _, value := range values {
				longer = append(longer, name+value)
			}
		}
		names = longer
	}
	return names, missing, err
}

// values are the values of one placeholder, without duplicates, in a new slice; none where the request has none. Beside
// an error other than an *ExcessError they are the values of a body or an answer that are certain.
func (p Placeholder) values(v Values, doc *document) ([]string, error) {
	var s valueSet
	if v.row != nil {
		if value, ok := v.row.column(p.column()); ok {
			s.add(value)
		}
		return s.list, nil
	}
	switch p.Kind {
	case FromWildcard:
		if value, ok := v.Match.wildcard(p.Name); ok {
			s.add(value)
		}
	case FromQuery:
		s.addAll(httpcache.QueryValues(v.Query, p.Name))
	case FromHeader:
		s.addAll(slices.Values(v.Header[p.Name]))
	case FromCookie:
		s.addAll(httpcache.CookieValues(v.Header, p.Name))
	case FromHost:
		s.add(memberHost(v.Target.Host))
	case FromBody, FromResponse:
		if p.Kind == FromResponse {
			doc = v.answer
		}
		if doc == nil {
			return nil, errNoBody
		}
		if err := doc.values(p.Name, s.add); err != nil && !s.over {
			return s.list, err
		}
	default:
		return nil, fmt.Errorf("unknown placeholder kind %d", p.Kind)
	}
	if s.over {
		return nil, &ExcessError{what: "values of " + p.source(), limit: maxNames, ofBody: p.Kind == FromBody || p.Kind == FromResponse}
	}
	return s.list, nil
}

// source names the source of the value, for the sender of the request.
func (p Placeholder) source() string {
	switch p.Kind {
	case FromQuery:
		return "the query parameter " + p.Name
	case FromHeader:
		return "the header field " + p.Name
	case FromCookie:
		return "the cookie " + p.Name
	case FromBody:
		return p.Name + " in the body"
	case FromResponse:
		return p.Name + " in the response"
	case FromHost:
		return "the host"
	default:
		return "the path"
	}
}
