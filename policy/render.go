package policy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Values is what the placeholders of a template stand for in one request. Nothing in it is changed.
type Values struct {
	Match  *Match // nil: no wildcards
	Header http.Header
	Target Target
	Query  string // as forwarded
}

// maxNames bounds how many names one template may give for one request.
const maxNames = MaxMembers

var (
	errTooManyNames = fmt.Errorf("more than %d names", maxNames)
	errNoValue      = errors.New("no value")
	errNoBody       = errors.New("the body is not at hand")
)

// Render fills in the placeholders, the first value of those that have several. Separators of names in a value are
// percent-encoded (EscapeName), so that two requests never give the same name through them. Without a value for a
// placeholder it reports false and renders that one as empty; the body has no values here.
func (t Template) Render(v Values) (string, bool) {
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
		b.WriteString(EscapeName(values[0]))
	}
	return b.String(), complete
}

// RenderAll fills in the placeholders with every value that the request has for them: a parameter given twice gives two
// names, a path with # one for each element. It is an error when there is no value for a placeholder, when there are
// more than 256 names, or when the body is needed and is not JSON that everyone reads alike.
func (t Template) RenderAll(v Values, body []byte) ([]string, error) {
	var doc *document
	if t.UsesBody() {
		var err error
		if doc, err = parseDocument(body); err != nil {
			return nil, fmt.Errorf("render %q: %w", t.text, err)
		}
	}
	names, missing, err := t.render(v, doc, nameForm)
	if err == nil && missing {
		err = errNoValue
	}
	if err != nil {
		return nil, fmt.Errorf("render %q: %w", t.text, err)
	}
	return names, nil
}

// form says how a value is written into what a template renders.
type form func(p Placeholder, v Values, value string) string

// nameForm is the form of keys and tags.
func nameForm(_ Placeholder, _ Values, value string) string { return EscapeName(value) }

// urlForm is the form of URLs and prefixes: a wildcard as it stands in the path, anything else percent-encoded.
func urlForm(p Placeholder, v Values, value string) string {
	switch p.Kind {
	case FromWildcard:
		raw, _ := v.Match.rawWildcard(p.Name)
		return raw
	case FromHost:
		return value
	}
	return escape(value, func(c byte) bool { return !isUnreserved(c) })
}

// render combines every value of every placeholder. A placeholder without a value renders as empty and is reported as
// missing. With more names than allowed the error is errTooManyNames, and as many as show that there are too many.
func (t Template) render(v Values, doc *document, write form) (names []string, missing bool, err error) {
	names = []string{""}
	for _, p := range t.parts {
		values := []string{p.text}
		if p.placeholder.Kind != 0 {
			if values, err = p.placeholder.values(v, doc); err != nil {
				return nil, false, err
			}
			for i := range values {
				values[i] = write(p.placeholder, v, values[i])
			}
			if len(values) == 0 {
				values, missing = []string{""}, true
			}
			slices.Sort(values)
			values = slices.Compact(values)
		}
		if names, err = product(names, values); err != nil {
			return names, missing, err
		}
	}
	return names, missing, nil
}

// product appends every value to every name.
func product(names, values []string) ([]string, error) {
	all := make([]string, 0, min(len(names)*len(values), maxNames+1))
	for _, name := range names {
		for _, value := range values {
			all = append(all, name+value)
			if len(all) > maxNames {
				return all, errTooManyNames
			}
		}
	}
	return all, nil
}

// values are the values of one placeholder in a fresh slice, none when the request has none.
func (p Placeholder) values(v Values, doc *document) ([]string, error) {
	switch p.Kind {
	case FromWildcard:
		if value, ok := v.Match.Wildcard(p.Name); ok {
			return []string{value}, nil
		}
		return nil, nil
	case FromQuery:
		return queryValues(v.Query, p.Name), nil
	case FromHeader:
		return slices.Clone(v.Header[p.Name]), nil
	case FromCookie:
		return cookieValues(v.Header, p.Name), nil
	case FromHost:
		return []string{memberHost(v.Target.Host)}, nil
	case FromBody:
		if doc == nil {
			return nil, errNoBody
		}
		return doc.values(p.Name)
	}
	return nil, fmt.Errorf("unknown placeholder kind %d", p.Kind)
}
