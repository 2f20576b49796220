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

// value is what a placeholder of a template can stand for in a name: whatever separates names is percent-encoded there.
const value = `((?:[^:/%\x00-\x1f\x7f]|%(?:3A|2F|25|[01][0-9A-F]|7F))+)`

// boardNames is what names of boards of a route look like, as far as its template says.
type boardNames struct {
	template string
	form     *regexp.Regexp
	values   []boardValue
}

// boardValue is what a placeholder may stand for.
type boardValue struct {
	where *regexp.Regexp // nil: any
	rest  bool           // of the path, with slashes
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

// reached reports whether a request can be about a board of that name. Of several values next to each other it takes one way to tell them apart.
func (n boardNames) reached(name string) bool {
	const longest = 256 // as the proxy takes it
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

// clean reports whether a clean path can have the value, as the proxy wants it of a path that names a board.
func (v boardValue) clean(text string) bool {
	path := "/" + url.PathEscape(text)
	if v.rest {
		path = strings.ReplaceAll(path, "%2F", "/")
	}
	t := httpcache.Target{Path: path}
	return policy.CleanTarget(t) == t
}
