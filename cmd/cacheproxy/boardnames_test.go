package main

import (
	"regexp"
	"strings"
	"testing"

	"cacheproxy/policy"
)

// A name of a board is reached by a request if the route's template gives it for some path.
func TestBoardNames(t *testing.T) {
	game := policy.Placeholder{Kind: policy.FromWildcard, Name: "game"}
	for _, c := range []struct {
		template, where, name string
		reached               bool
	}{
		{"all", "", "all", true},
		{"all", "", "other", false},
		{"all", "", "", false},
		{"{game}", "", "chess", true},
		{"{game}", "", "café 1", true},
		{"{game}", "", "", false},
		{"{game}", "", ".", false},
		{"{game}", "", "..", false},
		{"{game}", "", "a.b", true},
		{"{game}", "", "a/b", false},
		{"{game}", "", "a%2Fb", false},
		{"{game...}", "", "a%2Fb", true},
		{"{game...}", "", "a%2F..%2Fb", false},
		{"{game...}", "", "a%2F%2Fb", false},
		{"{game}", "", "a\\b", false},
		{"{game}", "", "..;x", false},
		{"{game}", "", "...", true},
		{"{game}", "", "a;x", true},
		{"{game}", "", "a%2fb", false},
		{"{game}", "", "100%25", true},
		{"{game}", "", "100%", false},
		{"{game}", "", "a:b", false},
		{"{game}", "", "a\x01", false},
		{"{game}", "", "a%01", true},
		{"{game}", "", "\xff", false},
		{"{game}", "", strings.Repeat("x", 256), true},
		{"{game}", "", strings.Repeat("x", 257), false},
		{"{game}", "chess|go", "go", true},
		{"{game}", "chess|go", "poker", false},
		{"{game}", "chess|go", "speedchess", false},
		{"{game...}", "a/b", "a%2Fb", true},
		{"{host}/{game}", "", "shop.example/chess", true},
		{"{host}/{game}", "", "chess", false},
		{"{{{game}}}", "", "{chess}", true},
		{"{{{game}}}", "", "chess", false},
		{"v1.{game}", "", "v1.chess", true},
		{"v1.{game}", "", "v12chess", false},
	} {
		template, err := policy.ParseTemplate(strings.Replace(c.template, "...", "", 1))
		if err != nil {
			t.Fatal(err)
		}
		wildcard := "{game}"
		if strings.Contains(c.template, "...") {
			wildcard = "{game...}"
		}
		pattern, err := policy.ParsePattern("GET /games/" + wildcard)
		if err != nil {
			t.Fatal(err)
		}
		r := &policy.Route{Board: template, Patterns: []policy.Pattern{pattern}}
		if c.where != "" {
			r.Where = map[policy.Placeholder]*regexp.Regexp{game: regexp.MustCompile(c.where)}
		}
		if why := namesOf(r).unreached(c.name); (why == "") != c.reached {
			t.Errorf("%q of %s, where %q: %q", c.name, c.template, c.where, why)
		}
	}
}
