package policy

import (
	"regexp"
	"testing"

	"cacheproxy/policy/httpcache"
)

func cachingRoute(t testing.TB, name string, patterns ...string) *Route {
	r := newRoute(t, name, patterns...)
	r.Caches = true
	return r
}

// A write's target may have a copy where a read of its path could be a route's that caches (RFC 9111 §4.4 asks for no more), whatever
// host and query it has.
func TestHoldings(t *testing.T) {
	conditional := newRoute(t, "beta", "GET /docs/{page}")
	conditional.Where = map[Placeholder]*regexp.Regexp{{Kind: FromHeader, Name: "X-Beta"}: regexp.MustCompile("1")}
	off := cachingRoute(t, "off", "/off/{id}")
	off.Mode = Off
	routes := []*Route{
		cachingRoute(t, "items", "GET /items/{id}"), newRoute(t, "orders", "POST /orders/{id}"), newRoute(t, "cart", "GET /shop/cart"),
		cachingRoute(t, "shop", "GET /shop/{page...}"), cachingRoute(t, "search", "POST /search"), cachingRoute(t, "site", "b.example/only/{id}"),
		cachingRoute(t, "docs", "GET /docs/"), conditional, off,
	}
	h := HoldingsOf(routes)
	read, err := ParseHoldings(h.Text())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/items/1": true, "/items/1?x=y": true, "/items/a%2Fb": true, "/items": false, "/items/1/2": false,
		"/orders/1": false, "/nowhere": false, "/": false,
		"/shop/a/b": true, "/shop/cart": false, "/shop/cart/1": true, // the cart's own route takes all reads of it
		"/search": true, "/only/1": true, // whichever host was written to: hosts can share their copies
		"/docs/1": true, // a request with other fields is of the route that caches
		"/off/1":  true, // its mode can be changed at any time
	} {
		member := NewMember(KindURL, "a.example"+path)
		if got := h.MayHold([]Member{member}); got != want || read.MayHold([]Member{member}) != want {
			t.Errorf("%s: %v, read from text %v, want %v", path, got, read.MayHold([]Member{member}), want)
		}
	}
	for _, m := range []Member{All, NewMember(KindKey, "a"), NewMember(KindTag, "a"), NewMember(KindPath, "a.example/nowhere"), NewMember(KindPrefix, ""), NewMember(KindRoute, "a"), NewMember(KindGroup, "a")} {
		if !h.MayHold([]Member{NewMember(KindURL, "a.example/nowhere"), m}) {
			t.Errorf("%v may be any copy's", m)
		}
	}
	if !(*Holdings)(nil).MayHold(nil) {
		t.Error("what is not understood does not hold everything")
	}
}

// What of a write's names is asked for is what Effects says, for every form of a path.
func TestHoldingsOfEffects(t *testing.T) {
	bypass := newRoute(t, "any", "/")
	table := mustTable(t, cachingRoute(t, "items", "GET /items/{id}"), bypass)
	h := HoldingsOf([]*Route{cachingRoute(t, "items", "GET /items/{id}"), bypass})
	for path, want := range map[string]bool{"/items/1": true, "/x/../items/1": true, "/items%2F1": true, "//items/1": true, "/x/items/1": false} {
		target := httpcache.Target{Scheme: "http", Host: "a.example", Path: path}
		members, _, excess := bypass.Effects(&Match{table: table}, target, "", nil, nil)
		if excess != nil {
			t.Fatal(excess)
		}
		if got := h.MayHold(members); got != want {
			t.Errorf("%s: %v, want %v: %v", path, got, want, members)
		}
	}
}

func TestHoldingsWithin(t *testing.T) {
	route := func(patterns ...string) *Route { return cachingRoute(t, "a", patterns...) }
	cart := newRoute(t, "cart", "GET /a/cart")
	for _, c := range []struct {
		about       string
		mine        *Route
		beside      []*Route
		other       *Route
		otherBeside []*Route
		within      bool
	}{
		{"the same", route("GET /a/{id}"), nil, route("GET /a/{id}"), nil, true},
		{"one pattern of two", route("GET /a/{id}"), nil, route("GET /a/{id}", "GET /b"), nil, true},
		{"a pattern more", route("GET /a/{id}", "GET /b"), nil, route("GET /a/{id}"), nil, false},
		{"another route's copies have another name", route("GET /a/{id}"), nil, cachingRoute(t, "b", "GET /a/{id}"), nil, false},
		{"one that does not cache", route("GET /a/{id}"), nil, newRoute(t, "a", "GET /a/{id}"), nil, false},
		{"the same without what took requests from it", route("GET /a/{id}"), nil, route("GET /a/{id}"), []*Route{cart}, false},
		{"the same with it", route("GET /a/{id}"), []*Route{cart}, route("GET /a/{id}"), []*Route{cart}, true},
		{"what takes requests is new", route("GET /a/{id}"), []*Route{cart}, route("GET /a/{id}"), nil, true},
		{"what took requests from elsewhere", route("GET /a/{id}"), nil, route("GET /a/{id}"), []*Route{newRoute(t, "c", "GET /c")}, true},
	} {
		h, other := HoldingsOf(append(c.beside, c.mine)), HoldingsOf(append(c.otherBeside, c.other))
		if got := h.Within(c.mine, []*Holdings{nil, other}); got != c.within {
			t.Errorf("%s: %v", c.about, got)
		}
	}
	if HoldingsOf(nil).Within(route("GET /a"), nil) {
		t.Error("within nothing")
	}
}

func TestHoldingsRefuseWhatTheyDoNotKnow(t *testing.T) {
	for _, text := range []string{"GET /a", "a\tGET", "a\tGET /a\n\n"} {
		if h, err := ParseHoldings(text); err == nil {
			t.Errorf("%q: %v", text, h)
		}
	}
}
