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

func spell(members []Member) string {
	words := make([]string, len(members))
	for i, m := range members {
		words[i] = string(m)
	}
	return strings.Join(words, " ")
}

func TestMembers(t *testing.T) {
	r := newRoute(t, "product", "GET /shop/{cat}/{id}")
	r.Key = mustTemplate(t, "v2:{id}:{query.lang}")
	r.Tags = templates(t, "cat:{cat}", "lang:{query.lang}")
	u := target(t, "/shop/caf%c3%a9/%31?utm=1")
	u.Host = "Shop.Example:8080"
	m, _ := mustTable(t, r).Match("GET", u, nil, netip.Addr{})
	response := http.Header{"Surrogate-Key": {"a b", " a  c"}, "Xkey": {"d, e f"}, "Cache-Tag": {"g h, i ,,"}}
	want := "* rproduct kv2:1: tcat:café ta tb tc td te tf tg h ti" +
		" ushop.example/shop/caf%C3%A9/1 qshop.example/shop/caf%C3%A9/1" +
		" pshop.example pshop.example/shop pshop.example/shop/caf%C3%A9 pshop.example/shop/caf%C3%A9/1" +
		" u/shop/caf%C3%A9/1 q/shop/caf%C3%A9/1 p p/shop p/shop/caf%C3%A9 p/shop/caf%C3%A9/1"
	if got := spell(r.Members(&m, u, "", nil, response)); got != want {
		t.Errorf("members:\n%s\nwant:\n%s", got, want)
	}
	r.Host.Literal = "backend"
	want = strings.Replace(strings.ReplaceAll(want, "shop.example", "*"), " u", " p*backend u", 1)
	if got := spell(r.Members(&m, u, "", nil, response)); got != want {
		t.Errorf("members of a copy that hosts share:\n%s\nwant:\n%s", got, want)
	}
}

// An answer that is said to name no members has those that are known before it.
func TestNamesMembers(t *testing.T) {
	u := target(t, "/a/b")
	u.Host = "shop.example"
	for _, c := range []struct {
		name    string
		headers []string // Route.TagHeaders
		literal string   // the Host that the upstream is sent
	}{
		{"as by default", nil, ""},
		{"a Host of its own", nil, "backend"},
		{"one field of tags", []string{"X-Tags"}, ""},
		{"none", []string{}, ""},
	} {
		r := newRoute(t, "it", "/{x...}")
		r.TagHeaders, r.Host.Literal = c.headers, c.literal
		m, _ := mustTable(t, r).Match("GET", u, nil, netip.Addr{})
		before := spell(r.Members(&m, u, "", nil, nil))
		names := 0
		for _, field := range append([]string{"Cache-Groups", "X-Tags", "Cache-Control", "Content-Type", "Vary", "Location"}, knownTagHeaders...) {
			answer := http.Header{field: {`"a", "b"`}}
			more := spell(r.Members(&m, u, "", nil, answer)) != before
			if m.NamesMembers(answer) != more {
				t.Errorf("%s: %s: more members: %t", c.name, field, more)
			}
			if more {
				names++
			}
		}
		if want := 1 + len(r.tagHeaders()); names != want {
			t.Errorf("%s: %d fields name members, want %d", c.name, names, want)
		}
	}
}

func TestMembersTooMany(t *testing.T) {
	r := newRoute(t, "it", "/{x}")
	r.Tags = templates(t, "{query.a}{query.b}")
	var query []string
	for i := range 20 {
		query = append(query, fmt.Sprintf("a=%d&b=%d", i, i+100))
	}
	u := target(t, "/x?"+strings.Join(query, "&"))
	m, _ := mustTable(t, r).Match("GET", u, nil, netip.Addr{})
	if n := len(r.Members(&m, u, u.Query, nil, nil)); n <= MaxMembers {
		t.Errorf("%d members of 400 tags: the copy would be stored without all of its names", n)
	}
}

// A response may list some thousand tags, and each is a member; a path and a query that a stranger makes up give no more than before,
// however many tags there are.
func TestMembersOfManyTags(t *testing.T) {
	r := newRoute(t, "it", "/")
	for _, c := range []struct {
		tags, segments int
		stored         bool
	}{{1, 1, true}, {maxTags, 1, true}, {maxTags + 1, 1, false}, {maxTags, 100, true}, {1, 200, false}, {maxTags, 200, false}, {0, 5000, false}} {
		u := target(t, strings.Repeat("/s", c.segments))
		m, _ := mustTable(t, r).Match("GET", u, nil, netip.Addr{})
		tags := numbered(c.tags, "cat_p_%d")
		got := r.Members(&m, u, "", nil, http.Header{"X-Magento-Tags": {strings.Join(tags, ",")}})
		if stored := len(got) <= MaxMembers; stored != c.stored {
			t.Errorf("%d tags and %d segments: %d members", c.tags, c.segments, len(got))
		}
		if c.stored && (!slices.Contains(got, NewMember(KindTag, tags[c.tags-1])) || !slices.Contains(got, NewMember(KindPrefix, "h"+u.Path)) && !slices.Contains(got, NewMember(KindPrefix, u.Path))) {
			t.Errorf("%d tags and %d segments: not all members are there", c.tags, c.segments)
		}
	}
}

// TestPurgesMeetCopies holds the names of an invalidation against those of copies.
func TestPurgesMeetCopies(t *testing.T) {
	r := newRoute(t, "list", "/")
	r.Query = Query{Include: []string{"a", "b"}, Sort: true, Unlisted: UnlistedDrop}
	shared := newRoute(t, "shared", "/shared/")
	shared.Host.Literal = "backend"
	table := mustTable(t, r, shared)
	for _, c := range []struct {
		name, host, uri string
		purge           []Member
		want            bool
	}{
		{"exact", "h.example", "/p?a=1", URLMembers("h.example", "/p", "a=1", true), true},
		{"any host", "h.example", "/p?a=1", URLMembers("", "/p", "a=1", true), true},
		{"host in capitals, with a port", "H.example:80", "/p", URLMembers("h.EXAMPLE", "/p", "", false), true},
		{"other host", "h.example", "/p", URLMembers("i.example", "/p", "", false), false},
		{"other query", "h.example", "/p?a=1", URLMembers("", "/p", "a=2", true), false},
		{"without query", "h.example", "/p?a=1", URLMembers("", "/p", "", false), false},
		{"path with every query", "h.example", "/p?a=1", PathMembers("", "/p"), true},
		{"RFC 3986 §6.2.2.2 equivalent escapes", "h.example", "/p%7e/%2f?a=%41", URLMembers("", "/%70~/%2F", "%61=A", true), true},
		{"an escaped slash is one to many an origin", "h.example", "/p%2fq", URLMembers("h.example", "/p/q", "", false), true},
		{"an escaped backslash too", "h.example", "/p%5cq?a=1", URLMembers("", "/p/q", "a=1", true), true},
		{"every query below an escaped slash", "h.example", "/p%2Fq?a=1", PathMembers("h.example", "/p/q"), true},
		{"prefix of an escaped slash", "h.example", "/p%2Fq%2Fr", PrefixMembers("h.example", "/p/q"), true},
		{"prefix of a host that is not forwarded, and an escaped slash", "h.example", "/shared/p%2Fq", PrefixMembers("i.example", "/shared/p"), true},
		{"an escaped slash as it stands", "h.example", "/p%2fq", URLMembers("", "/p%2Fq", "", false), true},
		{"RFC 3986 §2.2 a slash is no escaped one", "h.example", "/p/q", URLMembers("", "/p%2Fq", "", false), false},
		{"plus and %20 in the query", "h.example", "/p?a=x+y", URLMembers("", "/p", "a=x%20y", true), true},
		{"query rules of the route", "h.example", "/p?a=1&b=2", table.URLMembers(httpcache.Target{Path: "/p", Query: "b=2&x=3&a=1", HasQuery: true}), true},
		{"all parameters dropped", "h.example", "/p", table.URLMembers(httpcache.Target{Path: "/p", Query: "x=3", HasQuery: true}), true},
		{"host that is not forwarded", "h.example", "/shared/p", URLMembers("i.example", "/shared/p", "", false), true},
		{"prefix of a host that is not forwarded", "h.example", "/shared/p", PrefixMembers("i.example", "/shared"), true},
		{"path of a host that is not forwarded", "h.example", "/shared/p", PathMembers("i.example", "/shared/p"), true},
		{"prefix", "h.example", "/a/b/c", PrefixMembers("", "/a/b"), true},
		{"prefix with slash", "h.example", "/a/b/c", PrefixMembers("h.example", "/a/b/"), true},
		{"prefix is the path", "h.example", "/a/b/", PrefixMembers("", "/a/b"), true},
		{"prefix ends at a segment", "h.example", "/a/bc", PrefixMembers("", "/a/b"), false},
		{"root", "h.example", "/a/b", PrefixMembers("", "/"), true},
		{"root of a host", "h.example", "/", PrefixMembers("h.example", "/"), true},
		{"root of another host", "h.example", "/", PrefixMembers("i.example", "/"), false},
		{"prefix without a slash before it", "h.example", "/a/b", PrefixMembers("", "a"), true},
		{"a prefix is not a host", "h.example", "/a", PrefixMembers("", "h.example"), false},
	} {
		u := target(t, c.uri)
		u.Host = c.host
		m, reason := table.Match("GET", u, nil, netip.Addr{})
		if m.Route == nil {
			t.Fatalf("%s: %s", c.name, reason)
		}
		query, _ := m.Route.Query.Apply(u.Query)
		copyMembers := m.Route.Members(&m, u, query, nil, nil)
		if got := meet(c.purge, copyMembers); got != c.want {
			t.Errorf("%s: purge of %s meets %s: %t, want %t", c.name, spell(c.purge), spell(copyMembers), got, c.want)
		}
	}
}

func meet(a, b []Member) bool {
	return slices.ContainsFunc(a, func(m Member) bool { return slices.Contains(b, m) })
}

// Each field has a separator of its own, and a route says which fields count and are kept from clients.
func TestTagHeaders(t *testing.T) {
	for _, c := range []struct {
		names []string // nil: those that are known
		field string
		value string
		want  string
		kept  bool // by a client
	}{
		{nil, "Surrogate-Key", "a b:c,d e,", "a b:c d b:c,d e", false},
		{nil, "Xkey", "a, b c", "a b c", false},
		{nil, "Cache-Tag", "a b, c", "a b c", true},
		{nil, "Cache-Tags", "node:1 node_list", "node:1 node_list node:1 node_list", false},
		{nil, "Cache-Tags", "a,b c,d", "a b c b c d", false},
		{nil, "X-Cache-Tags", "a,b", "a b", false},
		{nil, "X-Magento-Tags", "cat_c_3,cat_p_1,cat_p,FPC", "cat_c_3 cat_p_1 cat_p FPC", false},
		{nil, "X-Tags", "a", "", true},
		{[]string{"X-Tags"}, "X-Tags", "a, b", "a b", false},
		{[]string{"X-Tags"}, "X-Cache-Tags", "a", "", true},
		{[]string{}, "X-Magento-Tags", "a", "", true},
	} {
		h := http.Header{c.field: {c.value}}
		r := &Route{Name: "r", TagHeaders: c.names}
		if got := strings.Join(responseTags(h, r.tagHeaders()), " "); got != c.want {
			t.Errorf("%s: %s has %q, want %q", c.field, c.value, got, c.want)
		}
		if _, kept := r.StoredHeader(h)[c.field]; kept != c.kept {
			t.Errorf("%s with %q: kept %v", c.field, c.names, kept)
		}
	}
}

// A line more never takes a tag away, and no tag is empty: an answer is purged by whatever it carries.
func FuzzResponseTags(f *testing.F) {
	f.Add("a b", "a,b c", "x, y z,,", "more")
	f.Add("\u00a0", ",", " ", "\x00")
	f.Fuzz(func(t *testing.T, surrogate, xkey, tag, more string) {
		h := http.Header{"Surrogate-Key": {surrogate}, "Xkey": {xkey}, "Cache-Tag": {tag}, "X-Cache-Tags": {xkey}, "X-Magento-Tags": {tag}}
		tags := responseTags(h, knownTagHeaders)
		if slices.Contains(tags, "") {
			t.Fatalf("%v: an empty tag in %q", h, tags)
		}
		for name := range h {
			h[name] = append(h[name], more)
		}
		all := responseTags(h, knownTagHeaders)
		for _, tag := range tags {
			if !slices.Contains(all, tag) {
				t.Fatalf("%q is lost with %q", tag, more)
			}
		}
	})
}
