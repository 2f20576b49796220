package policy

import (
	"net/netip"
	"slices"
	"testing"

	"cacheproxy/policy/httpcache"
)

// ofRow are the members that a row names, of which no value is NULL but those that are not there.
func ofRow(t testing.TB, in *Invalidates, routes *Table, row map[string]string) []Member {
	t.Helper()
	members, err := in.OfRow(routes, func(column string) (string, bool) {
		value, ok := row[column]
		return value, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	return members
}

func TestOfRow(t *testing.T) {
	table, _, _ := shop(t)
	for _, c := range []struct {
		name, want string
		in         Invalidates
		row        map[string]string
	}{
		{"names", "kk:a%3Ab tt:a%3Ab q/u/a:b p/p/a:b", Invalidates{Keys: templates(t, "k:{x}"), Tags: templates(t, "t:{x}"), URLs: templates(t, "/u/{x}"), Prefixes: templates(t, "/p/{x}")}, map[string]string{"x": "a:b"}},
		{"NULL", "kk: tlist", Invalidates{Keys: templates(t, "k:{x}"), Tags: templates(t, "t:{x}", "list"), URLs: templates(t, "/u/{x}"), Prefixes: templates(t, "/p/{x}")}, nil},
		{"nothing at all", "", Invalidates{Tags: templates(t, "t:{x}")}, nil},
		{"an empty text", "tt: q/u/", Invalidates{Tags: templates(t, "t:{x}"), URLs: templates(t, "/u/{x}"), Prefixes: templates(t, "/p/{x}", "/{x}")}, map[string]string{"x": ""}},
		{"a slash", "ta%2Fb q/u/a%2Fb p/a%2Fb q/u/a/b p/a/b", Invalidates{Tags: templates(t, "{x}"), URLs: templates(t, "/u/{x}"), Prefixes: templates(t, "/{x}")}, map[string]string{"x": "a/b"}},
		{"slashes alone", "q/u/%2F p/p/%2F q/u//", Invalidates{URLs: templates(t, "/u/{x}"), Prefixes: templates(t, "/p/{x}")}, map[string]string{"x": "/"}},
		{"what a path cannot have", "q/u/%20%3F%23%25%22%C3%BC%0A", Invalidates{URLs: templates(t, "/u/{x}")}, map[string]string{"x": " ?#%\"ü\n"}},
		{"a query", "u/products/1?lang=d%26x&none=1 u/products/1?lang=d%26x", Invalidates{URLs: templates(t, "/products/{id}?lang={l}&none=1")}, map[string]string{"id": "1", "l": "d&x"}},
		{"a host", "qshop.example/x q*/x q**/x", Invalidates{URLs: templates(t, "https://{host}/x")}, map[string]string{"host": "Shop.example"}},
		{"no host", "", Invalidates{URLs: templates(t, "https://{host}/x"), Prefixes: templates(t, "https://{host}/x")}, map[string]string{"host": ""}},
	} {
		if got := spell(ofRow(t, &c.in, table, c.row)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	long := Invalidates{Tags: templates(t, "{x}")}
	for range MaxEffects {
		long.Tags = append(long.Tags, mustTemplate(t, "{x}"+string(rune(0x100+len(long.Tags)))))
	}
	if _, err := long.OfRow(nil, func(string) (string, bool) { return "v", true }); err == nil {
		t.Error("a row names any number of copies")
	}
}

func TestTemplateColumns(t *testing.T) {
	columns, ok := mustTemplate(t, "{b}:{a}:{host}:{b}").Columns()
	if !ok || !slices.Equal(columns, []string{"b", "a", "host"}) {
		t.Errorf("%q %v", columns, ok)
	}
	for _, text := range []string{"{query.a}", "{header.a}", "{cookie.a}", "{body.a}"} {
		if _, ok := mustTemplate(t, text).Columns(); ok {
			t.Errorf("%s is a column", text)
		}
	}
}

// A row names each copy that a request for its value gets (F1), however the client has escaped it.
func FuzzOfRow(f *testing.F) {
	for _, seed := range []string{"a", "a:b", "a/b", "%", "%2F", " ", "ü", "a;b=c", "\x00\n", "+", "'\"\\$", "A%41"} {
		f.Add(seed, uint64(0x5555))
	}
	f.Fuzz(func(t *testing.T, value string, raw uint64) {
		route := newRoute(t, "one", "GET /p/{x}")
		route.Key, route.Tags = mustTemplate(t, "k:{x}"), templates(t, "t:{x}")
		route.Query = Query{Unlisted: UnlistedKey}
		table := mustTable(t, route)
		// Of what may stand for itself in a path, some does.
		i := 0
		path := httpcache.Escape(value, func(c byte) bool {
			i++
			return !httpcache.IsUnreserved(c) && (c == '/' || c == '%' || httpcache.CanonicalPath(string(c)) != string(c) || raw>>(i%64)&1 == 1)
		})
		u, err := httpcache.ParseTarget("http", "shop.example", "/p/"+path)
		if err != nil {
			t.Skip()
		}
		m, _ := table.Match("GET", u, nil, netip.Addr{})
		if m.Route == nil {
			t.Skip() // no copy: the path is not the same to everyone
		}
		carried := route.Members(&m, u, "", nil, nil)
		for _, in := range []Invalidates{{Keys: templates(t, "k:{x}")}, {Tags: templates(t, "t:{x}")}, {URLs: templates(t, "/p/{x}")}, {URLs: templates(t, "https://shop.example/p/{x}")}, {Prefixes: templates(t, "/p/{x}")}} {
			if value == "" && in.Prefixes != nil {
				continue
			}
			named := ofRow(t, &in, table, map[string]string{"x": value})
			if !slices.ContainsFunc(named, func(n Member) bool { return slices.Contains(carried, n) }) {
				t.Errorf("%q at %s: the row names %q, and the copy carries %q", value, u.Path, named, carried)
			}
		}
	})
}
