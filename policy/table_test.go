package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

func mustPattern(t testing.TB, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newRoute(t testing.TB, name string, patterns ...string) *Route {
	t.Helper()
	r := &Route{Name: name}
	for _, s := range patterns {
		r.Patterns = append(r.Patterns, mustPattern(t, s))
	}
	return r
}

func mustTable(t testing.TB, routes ...*Route) *Table {
	t.Helper()
	table, err := NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func target(t testing.TB, uri string) httpcache.Target {
	t.Helper()
	u, err := httpcache.ParseTarget("http", "shop.example", uri)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestParsePattern(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "empty pattern"},
		{"GET", "host/path missing /"},
		{"GET example.com", "host/path missing /"},
		{"A=B /", "invalid method"},
		{"GET {a}/", "host contains '{'"},
		{"/a{b}", "must start with '{'"},
		{"/{b}a", "must end with '}'"},
		{"/{$}/a", "{$} not at end"},
		{"/{a...}/b", "{...} wildcard not at end"},
		{"/{}", "empty wildcard"},
		{"/{...}", "empty wildcard"},
		{"/{a.b}", "bad wildcard name"},
		{"/{1a}", "bad wildcard name"},
		{"/{a}/{a}", "duplicate wildcard name"},
		{"/{a}/{a...}", "duplicate wildcard name"},
		{"GET /a//b", "unclean path"},
		{"/a/../b", "unclean path"},
		{"/a/%2e%2E/b", "unclean path"},
		{"example.com:80/", "port"},
		{"GET /products/:id", "write {id}"},
		{"/static/*", "write {name} for one segment"},
		{"/a*b", "%2A for the character itself"},
		{"/a/%2A/v1/items:batch/%3Aid/:/:9", ""},
		{"GET /{id}/{rest...}", ""},
		{"GET\t  /a/{$}", ""},
		{"Example.COM/a%20b/%zz/", ""},
		{"[::1]/", ""},
	} {
		p, err := ParsePattern(c.in)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.in, err)
		case c.want == "" && p.String() != c.in:
			t.Errorf("%q is written back as %q", c.in, p)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: error %v, want one with %q", c.in, err, c.want)
		}
	}
	p := mustPattern(t, "GET Example.com/a/{b}/{c...}")
	if got := fmt.Sprint(p.Method(), p.Host(), p.Wildcards()); got != "GETexample.com[b c]" {
		t.Errorf("parts: %s", got)
	}
}

func TestMatch(t *testing.T) {
	table := mustTable(t,
		newRoute(t, "product", "GET /products/{id}"),
		newRoute(t, "new", "GET /products/new"),
		newRoute(t, "edit", "PUT /products/{id}", "DELETE /products/{id}"),
		newRoute(t, "list", "GET /products/{$}"),
		newRoute(t, "files", "GET /files/{path...}"),
		newRoute(t, "admin", "admin.example/"),
		newRoute(t, "cafe", "/café/%2Fx"),
		newRoute(t, "tree", "/tree/"),
	)
	for _, c := range []struct{ method, host, path, want string }{
		{"GET", "shop.example", "/products/17", "product id=17"},
		{"HEAD", "shop.example", "/products/17", "product id=17"},
		{"POST", "shop.example", "/products/17", "no-route"},
		{"GET", "shop.example", "/products/new", "new"},
		{"GET", "shop.example", "/products/n%65w", "new"},
		{"PUT", "shop.example", "/products/a%2Fb", "edit id=a/b"},
		{"GET", "shop.example", "/products/%31%37", "product id=17"},
		{"GET", "shop.example", "/products/%2531", "product id=%31"},
		{"GET", "shop.example", "/products/", "list"},
		{"GET", "shop.example", "/products", "no-route"},
		{"GET", "shop.example", "/files/a/b%20c/", "files path=a/b c/"},
		{"GET", "shop.example", "/files/", "files path="},
		{"GET", "shop.example", "/files", "no-route"},
		{"GET", "ADMIN.example:8080", "/products/17", "admin"},
		{"GET", "admin.example.evil", "/products/17", "product id=17"},
		{"GET", "[::1]:8080", "/products/17", "product id=17"},
		{"GET", "shop.example", "/caf%c3%A9/%2fx", "cafe"},
		{"GET", "shop.example", "/tree", "no-route"},
		{"GET", "shop.example", "/tree/", "tree"},
		{"GET", "shop.example", "/tree/a/b", "tree"},
		{"GET", "shop.example", "*", "unclean-path"},
		{"GET", "shop.example", "", "unclean-path"},
		{"GET", "shop.example", "tree/a", "unclean-path"},
		{"GET", "shop.example", "/tree//a", "unclean-path"},
		{"GET", "shop.example", "//tree/a", "unclean-path"},
		{"GET", "shop.example", "/tree/./a", "unclean-path"},
		{"GET", "shop.example", "/tree/../a", "unclean-path"},
		{"GET", "shop.example", "/tree/..", "unclean-path"},
		{"GET", "shop.example", "/tree/%2e%2E/a", "unclean-path"},
		{"GET", "shop.example", "/tree/.%2e", "unclean-path"},
		{"GET", "shop.example", "/tree/..%2fa", "unclean-path"},
		{"GET", "shop.example", "/tree/x%2f..%5ca", "unclean-path"},
		{"GET", "shop.example", "/tree/..;x=1/a", "unclean-path"},
		{"GET", "shop.example", `/tree/a\b`, "unclean-path"},
		{"GET", "shop.example", "/tree/a\x00", "unclean-path"},
		{"GET", "shop.example", "/tree/a\x7f", "unclean-path"},
		{"GET", "shop.example", "/tree/a b", "unclean-path"},
		{"GET", "shop.example", "/tree/a#b", "unclean-path"},
		{"GET", "shop.example", "/tree/%", "unclean-path"},
		{"GET", "shop.example", "/tree/%4", "unclean-path"},
		{"GET", "shop.example", "/tree/%zz", "unclean-path"},
		{"GET", "shop.example", "/tree/.../..a/a../.a/a.b", "tree"},
		{"GET", "shop.example", "/tree/a;../b", "tree"},
	} {
		m, reason := table.Match(c.method, httpcache.Target{Host: c.host, Path: c.path}, nil, netip.Addr{})
		if got := describe(m, reason); got != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.method, c.host, c.path, got, c.want)
		}
	}
}

// describe is a match in words.
func describe(m Match, reason Reason) string {
	if m.Route == nil {
		return reason.String()
	}
	words := []string{m.Route.Name}
	for _, name := range m.Pattern().Wildcards() {
		value, _ := m.wildcard(name)
		words = append(words, name+"="+value)
	}
	return strings.Join(words, " ")
}

func TestWhereTriesTheNextRoute(t *testing.T) {
	product := newRoute(t, "product", "GET /products/{id}")
	product.Where = map[Placeholder]*regexp.Regexp{{FromWildcard, "id"}: regexp.MustCompile("[0-9]+|new")}
	hosted := newRoute(t, "hosted", "GET shop.example/products/{id}")
	hosted.Where = map[Placeholder]*regexp.Regexp{{FromWildcard, "id"}: regexp.MustCompile("(?i)x")}
	table := mustTable(t, product, hosted, newRoute(t, "other", "/products/"), newRoute(t, "all", "/"))
	for path, want := range map[string]string{
		"/products/17":      "product id=17",
		"/products/new":     "product id=new",
		"/products/news":    "other",
		"/products/x17":     "other",
		"/products/X":       "hosted id=X",
		"/products/17%0a":   "other",
		"/products/%31":     "product id=1",
		"/products/%2531":   "other",
		"/products/17/more": "other",
		"/elsewhere":        "all",
	} {
		if got := describe(table.Match("GET", target(t, path), nil, netip.Addr{})); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestConflictsAreAllReported(t *testing.T) {
	_, err := NewTable([]*Route{
		newRoute(t, "one", "GET /a/{x}", "/{x}/b"),
		newRoute(t, "two", "GET /a/{y}", "/c"),
		newRoute(t, "three", "GET /{z}"),
	})
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not a joined error: %v", err)
	}
	var got []string
	for _, err := range list.Unwrap() {
		var c *ConflictError
		if !errors.As(err, &c) {
			t.Fatalf("not a conflict: %v", err)
		}
		got = append(got, c.A.Pattern.String()+" ~ "+c.B.Pattern.String())
		t.Log(c)
	}
	want := []string{"GET /a/{x} ~ /{x}/b", "GET /a/{x} ~ GET /a/{y}", "/{x}/b ~ GET /a/{y}", "/c ~ GET /{z}"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("conflicts:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestConflictExamples holds the paths in the explanation of a conflict against the patterns.
func TestConflictExamples(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	seen := 0
	for range 5000 {
		a, errA := ParsePattern(randomPath(random))
		b, errB := ParsePattern(randomPath(random))
		if errA != nil || errB != nil || comparePaths(a, b) != overlapping {
			continue
		}
		seen++
		for _, c := range []struct {
			path         string
			wantA, wantB bool
		}{{commonPath(a, b), true, true}, {differencePath(a, b), true, false}, {differencePath(b, a), false, true}} {
			if gotA, gotB := matchesAlone(t, a, c.path), matchesAlone(t, b, c.path); gotA != c.wantA || gotB != c.wantB {
				t.Fatalf("%s and %s: %s matches %t and %t, want %t and %t", a, b, c.path, gotA, gotB, c.wantA, c.wantB)
			}
		}
	}
	if seen < 100 {
		t.Fatalf("only %d overlaps seen", seen)
	}
}

func matchesAlone(t *testing.T, p Pattern, path string) bool {
	m, _ := mustTable(t, &Route{Patterns: []Pattern{p}}).Match("GET", httpcache.Target{Path: path}, nil, netip.Addr{})
	return m.Route != nil
}

// largeTable has some hundred routes of several depths.
func largeTable(t testing.TB) *Table {
	var routes []*Route
	for i := range 300 {
		name := fmt.Sprintf("service%d", i)
		routes = append(routes, newRoute(t, name, "GET /api/"+name+"/{id}", "PUT /api/"+name+"/{id}", "/api/"+name+"/{id}/parts/{part...}"))
	}
	deep := newRoute(t, "deep", "/deep/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}")
	return mustTable(t, append(routes, deep, newRoute(t, "host", "h.example/x/{y}"), newRoute(t, "all", "/"))...)
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table := largeTable(t)
	for _, path := range []string{"/api/service123/17", "/api/service77/a%2Fb/parts/x/y", "/deep/1/2/3/4/5/6/7/8", "/a//b", "/x"} {
		u := httpcache.Target{Host: "H.Example:8080", Path: path}
		if n := testing.AllocsPerRun(100, func() { table.Match("GET", u, nil, netip.Addr{}) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", path, n)
		}
	}
}

func TestMatchMoreWildcardsThanInline(t *testing.T) {
	table := mustTable(t, newRoute(t, "deep", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/x"),
		newRoute(t, "deeper", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j...}"))
	if got := describe(table.Match("GET", httpcache.Target{Path: "/1/2/3/4/5/6/7/8/9/10/y"}, nil, netip.Addr{})); got != "deeper a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10/y" {
		t.Error(got)
	}
	if got := describe(table.Match("GET", httpcache.Target{Path: "/1/2/3/4/5/6/7/8/9/10/x"}, nil, netip.Addr{})); got != "deep a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10" {
		t.Error(got)
	}
}

func BenchmarkMatch(b *testing.B) {
	table := largeTable(b)
	u := httpcache.Target{Host: "shop.example", Path: "/api/service123/17"}
	b.ReportAllocs()
	for b.Loop() {
		if m, _ := table.Match("GET", u, nil, netip.Addr{}); m.Route == nil {
			b.Fatal("no match")
		}
	}
}
