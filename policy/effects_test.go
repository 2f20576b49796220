package policy

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// shop is a table with reads and writes of one resource.
func shop(t testing.TB) (table *Table, product, checkout *Route) {
	product = newRoute(t, "product", "GET /products/{id}", "PUT /products/{id}")
	product.Key = mustTemplate(t, "v2:product:{id}")
	product.Query = Query{Include: []string{"lang"}, Unlisted: UnlistedDrop}
	product.Invalidates = &Invalidates{
		Keys:     templates(t, "v1:stock:{id}", "x:{query.none}"),
		Tags:     templates(t, "list", "x:{query.none}"),
		URLs:     templates(t, "/all", "/all?id={id}", "https://{host}/by/{id}?q={query.q}", "/x?{query.none}"),
		Prefixes: templates(t, "/lists/", "http://other.example/{id}"),
		Routes:   []string{"search"},
	}
	checkout = newRoute(t, "checkout", "POST /checkout")
	checkout.Invalidates = &Invalidates{
		Keys:      templates(t, "v1:stock:{body.items.#.sku}"),
		Otherwise: &Invalidates{Routes: []string{"stock"}},
	}
	return mustTable(t, product, checkout, newRoute(t, "all", "/")), product, checkout
}

func TestEffects(t *testing.T) {
	table, product, _ := shop(t)
	u := target(t, "/products/a%2Fb?q=1%26&x=1")
	m, _ := table.Match("PUT", u, nil, netip.Addr{})
	got, fallback, err := product.Effects(&m, u, u.Query, nil, nil)
	want := "ushop.example/products/a%2Fb?q=1%26&x=1 u*/products/a%2Fb?q=1%26&x=1 ushop.example/products/a/b?q=1%26&x=1 u*/products/a/b?q=1%26&x=1" +
		" ushop.example/products/a%2Fb u*/products/a%2Fb" +
		" kv2:product:a%2Fb kv1:stock:a%2Fb kx: tlist" +
		" q/all u/all?id=a%2Fb ushop.example/by/a%2Fb?q=1%26 u*/by/a%2Fb?q=1%26 ushop.example/by/a/b?q=1%26 u*/by/a/b?q=1%26" +
		" p/lists pother.example/a%2Fb p*/a%2Fb p**/a%2Fb rsearch"
	if spell(got) != want || fallback || err != nil {
		t.Errorf("effects: %t, %v\n%s\nwant:\n%s", fallback, err, spell(got), want)
	}
}

func TestEffectsOfBody(t *testing.T) {
	table, _, checkout := shop(t)
	u := target(t, "/checkout")
	m, _ := table.Match("POST", u, nil, netip.Addr{})
	const uri = "ushop.example/checkout u*/checkout "
	for _, c := range []struct {
		name, body, want string
		fallback         bool
	}{
		{"read", `{"items":[{"sku":"a"},{"sku":"b"}]}`, uri + "kv1:stock:a kv1:stock:b", false},
		{"none", ``, uri + "rstock", true},
		{"not JSON", `sku=a`, uri + "rstock", true},
		{"no items", `{"items":[]}`, uri + "rstock", true},
		{"one without", `{"items":[{"sku":"a"},{}]}`, uri + "kv1:stock:a rstock", true},
		{"one without, first", `{"items":[{"other":1},{"sku":"a"},{"sku":null},{"sku":"b"}]}`, uri + "kv1:stock:a kv1:stock:b rstock", true},
		{"two readings", `{"items":[{"sku":"a"}],"items":[{"sku":"b"}]}`, uri + "rstock", true},
	} {
		got, fallback, err := checkout.Effects(&m, u, "", nil, []byte(c.body))
		if spell(got) != c.want || fallback != c.fallback || err != nil {
			t.Errorf("%s: %s, %t, %v, want %s, %t", c.name, spell(got), fallback, err, c.want, c.fallback)
		}
	}
}

func TestEffectsMissingValueUsesOtherwise(t *testing.T) {
	r := newRoute(t, "it", "PUT /x")
	r.Invalidates = &Invalidates{Tags: templates(t, "t:{query.id}"), Otherwise: &Invalidates{Tags: templates(t, "all")}}
	table := mustTable(t, r)
	for uri, want := range map[string]string{"/x?id=1": "tt:1", "/x": "tall", "/x?id=1&id=2": "tt:1 tt:2"} {
		u := target(t, uri)
		m, _ := table.Match("PUT", u, nil, netip.Addr{})
		got, fallback, err := r.Effects(&m, u, u.Query, nil, nil)
		if !strings.HasSuffix(spell(got), " "+want) || fallback != (uri == "/x") || err != nil {
			t.Errorf("%s: %s, %t, %v, want %s", uri, spell(got), fallback, err, want)
		}
	}
}

// TestWriteMeetsCopies writes to a URI in all its spellings: the copy that a read of it would get must go.
func TestWriteMeetsCopies(t *testing.T) {
	table, product, _ := shop(t)
	read := target(t, "/products/17?lang=en")
	m, _ := table.Match("GET", read, nil, netip.Addr{})
	members := product.Members(&m, read, "lang=en", nil, nil)
	for uri, want := range map[string]bool{
		"/products/17?lang=en":            true,
		"/products/%31%37?lang=en":        true,
		"/products/17?utm=1&lang=en":      true,
		"//products/17?lang=en":           true,
		"/x/%2e%2e/products/17?lang=en":   true,
		"/x/..%2fproducts/17?lang=en":     true,
		"/products%2F17?lang=en":          true,
		"/products%2f17?utm=1&lang=en":    true,
		"/products%5C17?lang=en":          true,
		"/x%2F..%2Fproducts%2F17?lang=en": true,
		"/products%252F17?lang=en":        false,
		"/products%2F18?lang=en":          false,
		"/products/18?lang=en":            false,
		"/products/17?lang=de":            false,
		"/other/..;/products/17?lang=en":  true,
		`/products\17?lang=en`:            true,
		"/products/17/?lang=en":           false,
		"/products/17%2F?lang=en":         false,
		"/products/17;v=1?lang=en":        false,
		"http://shop.example/products/17": false,
	} {
		u := target(t, uri)
		w, _ := table.Match("PUT", u, nil, netip.Addr{})
		if got := meet(w.uriEffects(u, askedAs), members); got != want {
			t.Errorf("a write to %s meets the copy: %t, want %t", uri, got, want)
		}
	}
}

func TestResponseEffects(t *testing.T) {
	table, _, _ := shop(t)
	u := target(t, "/products/17?lang=en")
	m, _ := table.Match("PUT", u, nil, netip.Addr{})
	for _, c := range []struct{ name, location, want string }{
		{"RFC 9111 §4.4 same origin", "http://SHOP.example/a%2Fb?x", "/a%2Fb?x"},
		{"default port", "http://shop.example:80/a", "/a"},
		{"other scheme", "https://shop.example/a", ""},
		{"other port", "http://shop.example:81/a", ""},
		{"other host", "http://evil.example/a", ""},
		{"user information", "http://shop.example@evil.example/a", ""},
		{"not hierarchical", "mailto:a@b", ""},
		{"scheme without authority", "http:/a", ""},
		{"host alone", "http://shop.example", "/"},
		{"network path", "//shop.example/a", "/a"},
		{"network path elsewhere", "//evil.example/a", ""},
		{"RFC 3986 §5.4 absolute path", "/a/./b/../c#f", "/a/c"},
		{"RFC 3986 §5.4 relative", "18", "/products/18"},
		{"RFC 3986 §5.4 relative with colon in the query", "18?a:b", "/products/18?a:b"},
		{"RFC 3986 §5.4 parent", "../orders/", "/orders/"},
		{"RFC 3986 §5.4 above the root", "../../../x", "/x"},
		{"RFC 3986 §5.4 dot", ".", "/products/"},
		{"RFC 3986 §5.4 query alone", "?a=1", "/products/17?a=1"},
		{"RFC 3986 §5.4 the document itself", "#x", "/products/17?lang=en"},
	} {
		got, _ := m.Route.ResponseEffects(&m, u, http.Header{"Content-Location": {c.location}})
		want := NewMember(KindURL, "shop.example"+c.want)
		if c.want == "" && len(got) != 0 || c.want != "" && !meet(got, []Member{want}) {
			t.Errorf("%s: %q gives %q, want %q", c.name, c.location, got, want)
		}
	}
	both, _ := m.Route.ResponseEffects(&m, u, http.Header{"Location": {"/a"}, "Content-Location": {"/b"}})
	if got := spell(both); got != "ushop.example/a u*/a ushop.example/b u*/b" {
		t.Errorf("both fields: %s", got)
	}
}

func TestEffectsWithoutRoute(t *testing.T) {
	u := target(t, "/x?y")
	if got := spell((&Match{}).uriEffects(u, askedAs)); got != "ushop.example/x?y u*/x?y" {
		t.Error(got)
	}
}
