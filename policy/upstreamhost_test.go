package policy

import (
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"cacheproxy/policy/httpcache"
)

// at is a target of a host.
func at(t testing.TB, host, uri string) httpcache.Target {
	t.Helper()
	u, err := httpcache.ParseTarget("http", host, uri)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Two APIs that are each sent a Host of their own have nothing of each other's made unusable, by what a client writes nor by what one of
// them says, while each has its own made unusable, and an order finds the copies whatever host it names.
func TestCopiesOfAnUpstreamsOwnHost(t *testing.T) {
	with := func(literal, name string, patterns ...string) *Route {
		r := newRoute(t, name, patterns...)
		r.Host.Literal, r.Upstream = literal, name
		return r
	}
	table := mustTable(t,
		with("127.0.0.1:8080", "one", "one.example/", "/one/"), with("two.internal", "two", "two.example/"), with("127.0.0.1:8081", "three", "/three/"),
		with("four.internal", "four", "four.example/", "www.four.example/"), with("five.internal", "five", "five.example/"), newRoute(t, "six", "six.example/"))
	copied := func(host, uri, group string) []Member {
		u := at(t, host, uri)
		m, _ := table.Match("GET", u, nil, netip.Addr{})
		return m.Route.Members(&m, u, "", nil, http.Header{"Cache-Groups": {group}})
	}
	write := func(host, uri string, answer http.Header) (members, before []Member) {
		u := at(t, host, uri)
		m, _ := table.Match("PUT", u, nil, netip.Addr{})
		members, _, _ = m.Route.Effects(&m, u, "", nil, nil)
		named, before := m.Route.ResponseEffects(&m, u, answer)
		return append(members, named...), before
	}
	group := http.Header{"Cache-Group-Invalidation": {`"g"`}}
	location := func(uri string) http.Header { return http.Header{"Location": {uri}} }
	for _, c := range []struct {
		name, host, uri string
		answer          http.Header
		at, of          string // a copy
		want            bool
	}{
		{"RFC 9111 §4.4 its own URL", "two.example", "/v/1", nil, "two.example", "/v/1", true},
		{"a host with a port", "TWO.example:8080", "/v/1", nil, "two.example", "/v/1", true},
		{"the same path of another API", "two.example", "/v/1", nil, "five.example", "/v/1", false},
		{"through another host of the route", "www.four.example", "/v/1", nil, "four.example", "/v/1", true},
		{"the same path, and the other has two hosts", "two.example", "/v/1", nil, "four.example", "/v/1", false},
		{"one that any host may ask for", "else.example", "/three/1", nil, "three.example", "/three/1", true},
		{"RFC 9111 §4.4 Location", "two.example", "/q", location("/v/1"), "two.example", "/v/1", true},
		{"Location, of another API by the same path", "two.example", "/q", location("/v/1"), "five.example", "/v/1", false},
		{"Location, of another API behind the same host", "five.example", "/q", location("/three/1"), "five.example", "/three/1", true}, // it is its own there
		{"Location, of another API behind any host", "else.example", "/one/q", location("/three/1"), "else.example", "/three/1", false},
		{"RFC 9875 §3 its own group", "two.example", "/q", group, "two.example", "/v/1", true},
		{"its own group, whatever the host", "else.example", "/three/q", group, "three.example", "/three/1", true},
		{"the group of another API", "two.example", "/q", group, "five.example", "/v/1", false},
		{"the group of another API that any host may ask", "else.example", "/one/q", group, "else.example", "/three/1", false},
		{"the group of an API that is not sent the host", "six.example", "/q", group, "five.example", "/v/1", false},
	} {
		members, before := write(c.host, c.uri, c.answer)
		m := copied(c.at, c.of, `"g"`)
		if got := meet(members, m); got != c.want {
			t.Errorf("%s: a write to %s%s costs the copy of %s%s: %t, want %t\n%s\n%s", c.name, c.host, c.uri, c.at, c.of, got, c.want, spell(members), spell(m))
		}
		// Versions before this one name copies by the URL with the client's host and with "*", and groups by "*" alone; their copies
		// bear "*". Each finds what concerns it.
		u := at(t, c.host, c.uri)
		theirs := []Member{urlMember(memberHost(u.Host), u.Path, "", false), urlMember(sharedHost, u.Path, "", false)}
		if c.answer["Cache-Group-Invalidation"] != nil {
			theirs = append(theirs, NewMember(KindGroup, `* g`))
		}
		if c.want && c.answer["Location"] == nil && !meet(theirs, m) {
			t.Errorf("%s: an entry of the version before does not find the copy: %s", c.name, spell(m))
		}
		old := []Member{urlMember(sharedHost, at(t, c.at, c.of).Path, "", false), NewMember(KindGroup, `* g`)}
		if c.want && !meet(append(members, before...), old) {
			t.Errorf("%s: the entry does not find a copy of the version before", c.name)
		}
	}
	for _, host := range []string{"two.example", "two.internal", "else.example", ""} {
		for kind, members := range map[string][]Member{"URL": URLMembers(host, "/v/1", "", false), "path": PathMembers(host, "/v/1"), "prefix": PrefixMembers(host, "/v")} {
			for _, at := range []string{"two.example", "four.example"} {
				if !meet(members, copied(at, "/v/1", "")) {
					t.Errorf("a purge of the %s at host %q does not find the copy at %s", kind, host, at)
				}
			}
		}
	}
}

// A route with more hosts than its copies have room to name has copies of every host.
func TestCopiesOfManyHosts(t *testing.T) {
	r := newRoute(t, "many", "a.example/", "b.example/", "c.example/", "d.example/", "e.example/", "f.example/", "g.example/", "h.example/", "i.example/", "j.example/")
	r.Host.Literal = "api.internal"
	table := mustTable(t, r)
	for uri, shared := range map[string]bool{"/a": false, "/a/b/c/d/e/f": true} {
		u := at(t, "c.example", uri)
		m, _ := table.Match("GET", u, nil, netip.Addr{})
		members := r.Members(&m, u, "", nil, nil)
		if got := slices.Contains(members, urlMember(sharedHost, uri, "", false)); got != shared || len(members) > MaxMembers {
			t.Errorf("%s is of every host: %t, want %t; %d members", uri, got, shared, len(members))
		}
		w, _, _ := r.Effects(&m, at(t, "j.example", uri), "", nil, nil)
		if !meet(w, members) {
			t.Errorf("%s: a write through another host misses the copy", uri)
		}
	}
}

// The host of a URL that the configuration spells out is an order; one that is the client's is that of a client.
func TestHostsOfInvalidatedURLs(t *testing.T) {
	for text, order := range map[string]bool{"http://api.internal/v": true, "http://{host}/v": false, "http://api.{id}/v?q={id}": false, "http://api.internal/{id}": true} {
		named := mustTemplate(t, text).hostsNamed()
		if got := slices.Contains(named, purgedHost); got != order {
			t.Errorf("%s is an order: %t, want %t", text, got, order)
		}
	}
}
