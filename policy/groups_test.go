package policy

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestCacheGroups(t *testing.T) {
	r := newRoute(t, "product", "GET /products/{id}")
	table := mustTable(t, r)
	members := func(url string, field ...string) []Member {
		u := target(t, url)
		m, _ := table.Match("GET", u, nil, netip.Addr{})
		return r.Members(&m, u, "", nil, http.Header{"Cache-Groups": field})
	}
	effects := func(url string, field ...string) []Member {
		u := target(t, url)
		named, _ := r.ResponseEffects(nil, u, http.Header{"Cache-Group-Invalidation": field})
		return named
	}
	for _, c := range []struct {
		name          string
		copies, write []string
		meet          bool
	}{
		{"RFC 9875 §2 one group", []string{`"scripts"`}, []string{`"scripts"`}, true},
		{"RFC 9875 §2 one of several", []string{`"a", "b"`}, []string{`"x", "b"`}, true},
		{"RFC 9651 §3.1 one list on two lines", []string{`"a"`, `"b"`}, []string{`"b"`}, true},
		{"RFC 9875 §2 parameters are ignored", []string{`"a";v=1`}, []string{`"a";w`}, true},
		{"RFC 9875 §2.1 case matters", []string{`"A"`}, []string{`"a"`}, false},
		{"a space inside", []string{`"a b"`}, []string{`"a", "b"`}, false},
		{"another group", []string{`"a"`}, []string{`"b"`}, false},
		{"RFC 9651 §4.2 a token is no string", []string{`a`}, []string{`"a"`}, false},
		{"RFC 9651 §4.2 all of a malformed list is ignored", []string{`"a", "b`}, []string{`"a"`}, false},
		{"RFC 9651 §4.2 an inner list is no string", []string{`"b", ("a")`}, []string{`"b"`}, false},
		{"malformed invalidation", []string{`"a"`}, []string{`"a", b`}, false},
		{"empty", []string{``}, []string{``}, false},
		{"none", nil, nil, false},
	} {
		if got := meet(members("/products/1", c.copies...), effects("/anything", c.write...)); got != c.meet {
			t.Errorf("%s: a copy in %q and an invalidation of %q: meet %t, want %t", c.name, c.copies, c.write, got, c.meet)
		}
	}
	if got := httpcache.Groups([]string{strings.Repeat(`"`+strings.Repeat("x", 32)+`", `, 32) + `"y"`}); len(got) != 33 {
		t.Errorf("RFC 9875 §2: %d of 33 groups of 32 characters", len(got))
	}
}

// RFC 9875 §2.1: a group is of one origin: scheme, host and port.
func TestCacheGroupsOfAnOrigin(t *testing.T) {
	member := func(scheme, host string) string {
		return spell(groupMembers(httpcache.Origin(scheme, host), []string{`"a"`}))
	}
	if got := member("HTTP", "Shop.Example"); got != member("http", "shop.example:80") || got != "ghttp://shop.example:80 a" {
		t.Error(got)
	}
	for _, other := range []string{member("https", "shop.example"), member("http", "shop.example:81"), member("http", "other.example")} {
		if other == member("http", "shop.example") {
			t.Errorf("%s is a group of two origins", other)
		}
	}
	shared := newRoute(t, "shared", "GET /products/{id}")
	shared.Host.Literal = "backend"
	u := target(t, "/products/1")
	m, _ := mustTable(t, shared).Match("GET", u, nil, netip.Addr{})
	copies := shared.Members(&m, u, "", nil, http.Header{"Cache-Groups": {`"a"`}})
	if named, _ := shared.ResponseEffects(&m, u, http.Header{"Cache-Group-Invalidation": {`"a"`}}); !meet(copies, named) {
		t.Error("a copy that all hosts share is not invalidated through one of them")
	}
}

// Whatever a field holds, what it names are members of its origin's groups and nothing else.
func FuzzCacheGroups(f *testing.F) {
	f.Add(`"a", "b";c=1`, `"d"`)
	f.Add(`a, ("b")`, ``)
	f.Fuzz(func(t *testing.T, a, b string) {
		all := groupMembers("http://shop.example:80", []string{a, b})
		for _, m := range all {
			if m.Kind() != KindGroup || !strings.HasPrefix(m.Value(), "http://shop.example:80 ") {
				t.Fatalf("%q and %q name %q", a, b, m)
			}
		}
		if joined := groupMembers("http://shop.example:80", []string{a + ", " + b}); len(all) > 0 && len(joined) > 0 && !slices.Equal(all, joined) {
			t.Fatalf("%q and %q on two lines name %q, on one line %q", a, b, all, joined)
		}
	})
}

// An answer that names more groups than a copy can have names its whole host, in as many words as that takes: none of its groups is
// forgotten, and no other host is touched.
func TestTooManyGroups(t *testing.T) {
	r := newRoute(t, "product", "GET /products/{id}")
	table := mustTable(t, r)
	lines := make([]string, maxNames+1)
	for i := range lines {
		lines[i] = fmt.Sprintf(`"g-%d"`, i)
	}
	at := func(host, group string) []Member {
		u, err := httpcache.ParseTarget("http", host, "/products/1")
		if err != nil {
			t.Fatal(err)
		}
		m, _ := table.Match("GET", u, nil, netip.Addr{})
		return r.Members(&m, u, "", nil, http.Header{"Cache-Groups": {group}})
	}
	for n, want := range map[int]int{maxNames: maxNames, maxNames + 1: 1} {
		u := target(t, "/w")
		named, _ := r.ResponseEffects(nil, u, http.Header{"Cache-Group-Invalidation": lines[:n]})
		if len(named) != want {
			t.Errorf("%d groups: %d names, want %d", n, len(named), want)
		}
		if !meet(at(u.Host, lines[0]), named) || meet(at("other.example", lines[0]), named) {
			t.Errorf("%d groups: of the host %t, of another %t", n, meet(at(u.Host, lines[0]), named), meet(at("other.example", lines[0]), named))
		}
	}
}
