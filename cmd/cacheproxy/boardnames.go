package main

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// value matches the text of a placeholder in a name. Characters that separate names are percent-encoded there.
const value = `((?:[^:/%\x00-\x1f\x7f]|%(?:3A|2F|25|[01][0-9A-F]|7F))+)`

// boardNames describes the names that a route's boards can have, according to its template.
type boardNames struct {
	template string
	form     *regexp.Regexp
	values   []boardValue
}

// boardValue describes the value of a placeholder.
type boardValue struct {
	where *regexp.Regexp // nil: any
	rest  bool           // the rest of a path, with slashes
}

func namesOf(r *policy.Route) (n boardNames) {
	n.template = r.Board.String()
	form := strings.Builder{}
	for rest := n.template; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			form.WriteString(regexp.QuoteMeta(rest[:1]))
			rest = rest[2:]
		case rest[0] == '{':
			_, rest, _ = strings.Cut(rest, "}")
			form.WriteString(value)
		default:
			form.WriteString(regexp.QuoteMeta(rest[:1]))
			rest = rest[1:]
		}
	}
	n.form = regexp.MustCompile(`(?s)\A` + form.String() + `\z`)
	for _, p := range r.Board.Placeholders() {
		rest := slices.ContainsFunc(r.Patterns, func(is policy.Pattern) bool { return strings.Contains(is.String(), "{"+p.Name+"...}") })
		n.values = append(n.values, boardValue{r.Where[p], rest})
	}
	return n
}

// reached reports whether a request can be about a board of that name. Where values follow each other without a
// separator, reached tries one way to split them.
func (n boardNames) reached(name string) bool {
	const longest = 256 // the proxy's own bound
	found := n.form.FindStringSubmatch(name)
	if found == nil || len(name) > longest || !utf8.ValidString(name) {
		return false
	}
	for i, text := range found[1:] {
		text, err := url.PathUnescape(text)
		if is := n.values[i]; err != nil || !is.clean(text) || is.where != nil && !is.where.MatchString(text) {
			return false
		}
	}
	return true
}

// clean reports whether a clean path can have the value. The proxy wants clean paths of requests for boards.
func (v boardValue) clean(text string) bool {
	path := "/" + url.PathEscape(text)
	if v.rest {
		path = strings.ReplaceAll(path, "%2F", "/")
	}
	t := httpcache.Target{Path: path}
	return policy.CleanTarget(t) == t
}
