package main

import (
	"fmt"
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
	name  string         // the wildcard's
	where *regexp.Regexp // matches whole values; nil: any
	said  string         // where, as written in the route
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
		v := boardValue{name: p.Name, rest: rest}
		if re := r.Where[p]; re != nil {
			v.where, v.said = regexp.MustCompile(`\A(?:`+re.String()+`)\z`), re.String() // as the table matches the condition
		}
		n.values = append(n.values, v)
	}
	return n
}

// unreached returns the reason for which no request can be about a board of that name; empty: a request can. Where
// values follow each other without a separator, unreached tries one way to split them.
func (n boardNames) unreached(name string) string {
	const longest = 256 // the proxy's own bound
	form := fmt.Sprintf("the route has leaderboard.board: %s, of at most %d bytes", n.template, longest)
	found := n.form.FindStringSubmatch(name)
	if found == nil || len(name) > longest || !utf8.ValidString(name) {
		return form
	}
	for i, text := range found[1:] {
		text, err := url.PathUnescape(text)
		is := n.values[i]
		if err != nil || !is.clean(text) {
			return form
		}
		if is.where != nil && !is.where.MatchString(text) {
			return fmt.Sprintf("the route has where: {%s: %q}, which %q does not match as a whole", is.name, is.said, text)
		}
	}
	return ""
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
