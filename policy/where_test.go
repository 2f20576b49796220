package policy

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// whereRoute is a route with conditions, each by what it is on: "header.X-App", "cookie.a", "query.q", or a wildcard.
func whereRoute(t testing.TB, name, pattern string, where map[string]string) *Route {
	t.Helper()
	r := newRoute(t, name, pattern)
	r.Where = map[Placeholder]*regexp.Regexp{}
	for on, expression := range where {
		source, rest, dotted := strings.Cut(on, ".")
		of := Placeholder{Kind: map[string]PlaceholderKind{"header": FromHeader, "cookie": FromCookie, "query": FromQuery}[source], Name: rest}
		switch {
		case on == "client":
			r.Clients = append(r.Clients, netip.MustParsePrefix(expression))
			continue
		case !dotted:
			of = Placeholder{Kind: FromWildcard, Name: on}
		}
		r.Where[of] = regexp.MustCompile(expression)
	}
	return r
}

// What a request says is compared whole, and what is not there is the empty text.
func TestWhereComparesWhatARequestSays(t *testing.T) {
	for _, c := range []struct {
		about  string
		where  map[string]string
		uri    string
		header []string
		from   string
		fits   bool
	}{
		{"a field", map[string]string{"header.X-App": "checkout"}, "/p", []string{"X-App: checkout"}, "", true},
		{"a field, whose value has a case", map[string]string{"header.X-App": "checkout"}, "/p", []string{"X-App: Checkout"}, "", false},
		{"a field, as a whole", map[string]string{"header.X-App": "checkout"}, "/p", []string{"X-App: checkouts"}, "", false},
		{"a field, each choice as a whole", map[string]string{"header.X-App": "a|b"}, "/p", []string{"X-App: ab"}, "", false},
		{"a field that is not there", map[string]string{"header.X-App": "checkout"}, "/p", nil, "", false},
		{"a field that need not be there", map[string]string{"header.X-App": "(checkout)?"}, "/p", nil, "", true},
		{"a field that must not be there", map[string]string{"header.X-App": ""}, "/p", []string{"X-App: a"}, "", false},
		{"lines are one list (RFC 9110 §5.3)", map[string]string{"header.X-App": "a, b"}, "/p", []string{"X-App: a", "X-App: b"}, "", true},
		{"of a list not one member alone", map[string]string{"header.X-App": "a"}, "/p", []string{"X-App: a", "X-App: b"}, "", false},
		{"a cookie", map[string]string{"cookie.beta": "1"}, "/p", []string{"Cookie: a=2; beta=1"}, "", true},
		{"a cookie, whose name has a case", map[string]string{"cookie.beta": "1"}, "/p", []string{"Cookie: Beta=1"}, "", false},
		{"a cookie that is not there", map[string]string{"cookie.beta": "1"}, "/p", []string{"Cookie: a=1"}, "", false},
		{"every cookie of the name", map[string]string{"cookie.beta": "1"}, "/p", []string{"Cookie: beta=1; beta=2"}, "", false},
		{"a parameter", map[string]string{"query.view": "full"}, "/p?a=1&view=full", nil, "", true},
		{"a parameter, unescaped", map[string]string{"query.view": "f ü"}, "/p?vi%65w=f+%C3%BC", nil, "", true},
		{"a parameter without a value is empty", map[string]string{"query.view": ""}, "/p?view", nil, "", true},
		{"every parameter of the name", map[string]string{"query.view": "full"}, "/p?view=full&view=short", nil, "", false},
		{"a parameter that is not there", map[string]string{"query.view": ".+"}, "/p?views=1", nil, "", false},
		{"a client", map[string]string{"client": "10.0.0.0/8"}, "/p", nil, "10.1.2.3", true},
		{"another client", map[string]string{"client": "10.0.0.0/8"}, "/p", nil, "11.1.2.3", false},
		{"nobody known", map[string]string{"client": "0.0.0.0/0"}, "/p", nil, "", false},
		{"all of it", map[string]string{"header.X-App": "a", "cookie.b": "1", "query.c": "1", "client": "10.0.0.0/8"}, "/p?c=1", []string{"X-App: a", "Cookie: b=1"}, "10.0.0.1", true},
		{"all but one", map[string]string{"header.X-App": "a", "cookie.b": "1", "query.c": "1", "client": "10.0.0.0/8"}, "/p?c=1", []string{"X-App: a"}, "10.0.0.1", false},
	} {
		header := http.Header{}
		for _, line := range c.header {
			name, value, _ := strings.Cut(line, ": ")
			header.Add(name, value)
		}
		from, _ := netip.ParseAddr(c.from)
		// With the same pattern, whichever stands first in the file.
		chosen, usual := whereRoute(t, "chosen", "GET /p", c.where), newRoute(t, "usual", "GET /p")
		for _, routes := range [][]*Route{{chosen, usual}, {usual, chosen}} {
			m, _ := mustTable(t, routes...).Match("HEAD", target(t, c.uri), header, from)
			if (m.Route == chosen) != c.fits || (m.Skipped == chosen) == c.fits || m.Route == nil {
				t.Errorf("%s: %s, skipped %v", c.about, m.Route.Name, m.Skipped != nil)
			}
		}
	}
}

func TestWhereOrdersRoutesWithOnePattern(t *testing.T) {
	first := whereRoute(t, "first", "/a/{x...}", map[string]string{"header.X-App": "a|b"})
	second := whereRoute(t, "second", "/a/", map[string]string{"header.X-App": "b|c"})
	specific := whereRoute(t, "specific", "GET /a/{x}", map[string]string{"header.X-App": "b"})
	table := mustTable(t, newRoute(t, "usual", "/a/{y...}"), first, second, specific, newRoute(t, "all", "/"))
	for value, want := range map[string]string{"a": "first x=1", "b": "specific x=1", "c": "second", "d": "usual y=1"} {
		if got := describe(table.Match("GET", target(t, "/a/1"), http.Header{"X-App": {value}}, netip.Addr{})); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
	usual, other := newRoute(t, "usual", "GET /a/{x}"), newRoute(t, "other", "GET /a/{y}")
	twice := whereRoute(t, "twice", "GET /a/{x}", map[string]string{"header.A": "b"})
	twice.Patterns = append(twice.Patterns, mustPattern(t, "GET /a/{y}"))
	elsewhere := whereRoute(t, "elsewhere", "GET /a/{x}", map[string]string{"y": "b"}) // which is no wildcard of the pattern
	across := whereRoute(t, "across", "/{x}/b", map[string]string{"header.A": "b"})
	for name, routes := range map[string][]*Route{
		"without conditions": {usual, other}, "twice in one route": {twice}, "none on this pattern": {usual, elsewhere}, "overlapping": {usual, across},
	} {
		if _, err := NewTable(routes); err == nil {
			t.Errorf("%s: no conflict", name)
		}
	}
}

func TestWhereDoesNotAllocate(t *testing.T) {
	where := map[string]string{"header.X-App": "checkout", "cookie.beta": "1", "query.view": "full", "client": "10.0.0.0/8"}
	table := mustTable(t, whereRoute(t, "checkout", "GET /p/{id}", where), newRoute(t, "display", "GET /p/{id}"))
	header := http.Header{"X-App": {"checkout"}, "Cookie": {"a=b; beta=1"}}
	u, from := target(t, "/p/1?a=b&view=full"), netip.MustParseAddr("10.1.2.3")
	for want, header := range map[string]http.Header{"checkout id=1": header, "display id=1": {}} {
		if got := describe(table.Match("GET", u, header, from)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if n := testing.AllocsPerRun(100, func() { table.Match("GET", u, header, from) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", want, n)
		}
	}
}

// An invalidation of a URL ends the copies of every route that a request for it can be of.
func TestInvalidationOfAURLReachesEveryRoute(t *testing.T) {
	routes := []*Route{
		whereRoute(t, "by field", "GET /p/{id}", map[string]string{"header.X-App": "a"}),
		whereRoute(t, "by cookie", "GET /p/{id}", map[string]string{"cookie.app": "b", "id": "[0-9]+"}),
		whereRoute(t, "by parameter", "GET /p/{id}", map[string]string{"query.app": "c"}),
		whereRoute(t, "by client", "GET /p/", map[string]string{"client": "10.0.0.0/8"}),
		newRoute(t, "rest", "/"),
	}
	queries := []Query{
		{Include: []string{"page"}, Unlisted: UnlistedDrop}, {Exclude: []string{"utm_*"}, Unlisted: UnlistedKey}, {Sort: true, Unlisted: UnlistedKey},
		{Include: []string{"app"}, Unlisted: UnlistedDrop}, {Unlisted: UnlistedDrop},
	}
	for i, r := range routes {
		r.Query = queries[i]
	}
	table, reached := mustTable(t, routes...), map[string]bool{}
	for _, uri := range []string{"/p/1?page=2&app=c&utm_source=x", "/p/1?utm_source=x&page=2&app=d"} {
		u := target(t, uri)
		named := table.URLMembers(u)
		write, _ := table.Match("DELETE", u, nil, netip.Addr{})
		for _, header := range []http.Header{{}, {"X-App": {"a"}}, {"Cookie": {"app=b"}}} {
			for _, from := range []string{"10.0.0.1", "11.0.0.1"} {
				m, _ := table.Match("GET", u, header, netip.MustParseAddr(from))
				query, reason := m.Route.Query.Apply(u.Query)
				if reason != NoReason {
					t.Fatal(reason)
				}
				members := m.Route.Members(&m, u, query, header, nil)
				if reached[m.Route.Name] = true; !meet(named, members) || !meet(write.uriEffects(u, askedAs), members) {
					t.Errorf("%s does not reach the copy of %s, forwarded as %q", uri, m.Route.Name, query)
				}
			}
		}
	}
	for _, r := range routes {
		if !reached[r.Name] {
			t.Errorf("no request was of %s", r.Name)
		}
	}
}
