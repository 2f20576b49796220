package policy

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

func mustTemplate(t testing.TB, s string) Template {
	t.Helper()
	tmpl, err := ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func templates(t testing.TB, list ...string) (all []Template) {
	t.Helper()
	for _, s := range list {
		all = append(all, mustTemplate(t, s))
	}
	return all
}

func TestParseTemplate(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "[]"},
		{"v2:{id}:{query.page}", "[{1 id} {2 page}]"},
		{"{header.x-tenant}{cookie.region}{host}", "[{3 X-Tenant} {4 region} {5 }]"},
		{"{body.items.#.sku}", "[{6 items.#.sku}]"},
		{"{body.#.id}", "[{6 #.id}]"},
		{"{{id}}", "[]"},
		{"{{{id}}}", "[{1 id}]"},
	} {
		tmpl, err := ParseTemplate(c.in)
		if got := fmt.Sprint(tmpl.Placeholders()); err != nil || got != c.want || tmpl.String() != c.in || tmpl.Zero() {
			t.Errorf("%q: %s, %v, want %s", c.in, got, err, c.want)
		}
		if tmpl.UsesBody() != strings.Contains(c.in, "body") {
			t.Errorf("%q: uses body %t", c.in, tmpl.UsesBody())
		}
	}
	for _, in := range []string{"", "{", "a}", "{id", "{}", "{a b}", "{query.}", "{header.a b}", "{cookie.a=b}", "{header.x-*}", "{cookie.a*}", "{query.a*}", "{other.x}", "{hosts.x}",
		"{body.}", "{body.a..b}", "{body.items.#}", "{body.items.#(a==1).x}", "{body.*}", "{body.@reverse}", "{body.a|b}", "{body.a\\.b}"} {
		if tmpl, err := ParseTemplate(in); err == nil {
			t.Errorf("%q: %v, want an error", in, tmpl.Placeholders())
		}
	}
	if !(Template{}).Zero() {
		t.Error("the zero value is not zero")
	}
}

// valuesOf makes the values of a GET request on a table with one pattern.
func valuesOf(t testing.TB, pattern, uri string, header http.Header) Values {
	t.Helper()
	u := target(t, uri)
	m, reason := mustTable(t, newRoute(t, "it", pattern)).Match("GET", u, nil, netip.Addr{})
	if m.Route == nil {
		t.Fatalf("%s does not match %s: %s", uri, pattern, reason)
	}
	return Values{Match: &m, Header: header, Target: u, Query: u.Query}
}

func TestRender(t *testing.T) {
	header := http.Header{"X-Tenant": {"a:b", "c"}, "Cookie": {"x=1; region=eu/1", "region=us"}}
	for _, c := range []struct {
		tmpl, uri, want string
		ok              bool
	}{
		{"v2:product:{id}", "/p/17", "v2:product:17", true},
		{"{{{id}}}", "/p/17", "{17}", true},
		{"{id}", "/p/caf%C3%A9", "café", true},
		{"{id}", "/p/a%2Fb%3Ac:d", "a%2Fb%3Ac%3Ad", true},
		{"{id}", "/p/a%252Fb", "a%252Fb", true},
		{"{id}", "/p/a%00%7F", "a%00%7F", true},
		{"{query.q}", "/p/1?q=a+b%2F&q=z", "a b%2F", true},
		{"{query.q}", "/p/1?%71", "", true},
		{"[{query.q}]", "/p/1?r=1", "[]", false},
		{"{header.x-tenant}:{cookie.region}", "/p/1", "a%3Ab:eu%2F1", true},
		{"{header.other}", "/p/1", "", false},
		{"{cookie.other}", "/p/1", "", false},
		{"{host}", "/p/1", "shop.example", true},
		{"{other}", "/p/1", "", false},
		{"{body.a}", "/p/1", "", false},
	} {
		got, ok := mustTemplate(t, c.tmpl).Render(valuesOf(t, "/p/{id}", c.uri, header))
		if got != c.want || ok != c.ok {
			t.Errorf("%s of %s: %q, %t, want %q, %t", c.tmpl, c.uri, got, ok, c.want, c.ok)
		}
	}
}

func TestRenderAll(t *testing.T) {
	many := "[" + strings.Repeat(`1,`, 256) + "1]"
	distinct := make([]string, 257)
	for i := range distinct {
		distinct[i] = fmt.Sprint(i)
	}
	for _, c := range []struct{ tmpl, body, want string }{
		{"{id}:{query.q}", "", "17:1 17:2"},
		{"s:{body.items.#.sku}", `{"items":[{"sku":"a/b"},{"sku":"c"},{"sku":"c"}]}`, "s:a%2Fb s:c"},
		{"{body.#.sku}", `[{"sku":1},{"sku":2.50},{"sku":true}]`, "1 2.5 true"},
		{"{body.skus}", `{"skus":["a",["b"]]}`, "a b"},
		{"{body.a.1.b}", `{"a":[{},{"b":"x"}]}`, "x"},
		{"{body.orders.#.lines.#.sku}", `{"orders":[{"lines":[{"sku":"a"}]},{"lines":[{"sku":"b"}]}]}`, "a b"},
		{"{body.x}-{body.y}", `{"x":["1","2"],"y":["3","4"]}`, "1-3 1-4 2-3 2-4"},
		{"{body.sku}", `{"\u0073ku":"a"}`, "a"},
		{"{body.skus}", `{"skus":` + many + `}`, "1"},
		{"{body.skus}", `{"skus":[` + strings.Join(distinct, ",") + `]}`, "error"},
		{"{body.sku}", ``, "error"},
		{"{body.sku}", `{"sku":"a"`, "error"},
		{"{body.sku}", `{"sku":null}`, "error"},
		{"{body.sku}", `{"sku":{}}`, "error"},
		{"{body.sku}", `{"sku":[]}`, "error"},
		{"{body.sku}", `"sku"`, "error"},
		{"{body.sku}", "{\"sku\":\"\xff\"}", "error"},
		{"{body.sku}", `{"sku":"a","sku":"b"}`, "error"},
		{"{body.sku}", `{"sku":"a","\u0053KU":"b"}`, "error"},
		{"{body.sku}", `{"sku":"a","x":[{"y":1,"y":2}]}`, "error"},
		{"{body.items.#.sku}", `{"items":[{"sku":"a"},{"SKU":"b"}]}`, "error"},
		{"{body.items.#.sku}", `{"items":{"sku":"a"}}`, "error"},
		{"{body.sku}", strings.Repeat("[", 100000), "error"},
		{"{body.sku}", `{"sku":"a","x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "error"},
		{"{query.none}", "", "error"},
	} {
		got, err := mustTemplate(t, c.tmpl).renderAll(valuesOf(t, "/p/{id}", "/p/17?q=2&q=1", nil), []byte(c.body))
		text := strings.Join(got, " ")
		if err != nil {
			text = "error"
		}
		if text != c.want {
			t.Errorf("%s of %.40s: %s, %v, want %s", c.tmpl, c.body, text, err, c.want)
		}
	}
}

// FuzzTemplate parses any template and, when it is one, renders it: nothing panics, and two paths with different
// wildcards never render the same name.
func FuzzTemplate(f *testing.F) {
	f.Add("v2:{a}:{b}", "x", "y", "x:y", "z", `{"a":1}`)
	f.Add("{{{a}/{b}}}", "a%2Fb", "c", "a", "b%2Fc", "")
	f.Add("{a}:{query.q}:{body.items.#.sku}{b}", "%25", "%3A", "%2525", ":", `{"items":[{"sku":"a"}]}`)
	f.Fuzz(func(t *testing.T, text, a1, b1, a2, b2, body string) {
		tmpl, err := ParseTemplate(text)
		if err != nil {
			return
		}
		table := mustTable(t, newRoute(t, "it", "/{a}/{b}"))
		var names [2]string
		var wild [2]string
		for i, p := range []string{"/" + a1 + "/" + b1, "/" + a2 + "/" + b2} {
			m, reason := table.Match("GET", httpcache.Target{Path: p}, nil, netip.Addr{})
			if reason != NoReason {
				return
			}
			v := Values{Match: &m, Target: httpcache.Target{Path: p}, Query: "q=1"}
			_, _ = tmpl.renderAll(v, []byte(body))
			names[i], _ = tmpl.Render(v)
			first, _ := m.wildcard("a")
			second, _ := m.wildcard("b")
			wild[i] = fmt.Sprintf("%q %q", first, second)
		}
		separated := text == "v2:{a}:{b}" || text == "{a}/{b}"
		if separated && wild[0] != wild[1] && names[0] == names[1] {
			t.Fatalf("%s of %s and %s: both %q", text, wild[0], wild[1], names[0])
		}
	})
}

// renderAll fills in the placeholders with every value that the request has for them: a parameter given twice gives two
// names, a path with # one for each element. It is an error when there is no value for a placeholder, an *ExcessError when
// there is more than one request may name, and an error when the body is needed and is not JSON that everyone reads alike.
func (t Template) renderAll(v Values, body []byte) ([]string, error) {
	var doc *document
	if t.UsesBody() {
		var err error
		if doc, err = parseDocument(body); err != nil {
			return nil, fmt.Errorf("render %q: %w", t.text, err)
		}
	}
	names, missing, err := t.render(v, doc, nameForm)
	if err == nil && missing {
		err = errNoValue
	}
	if err != nil {
		return nil, fmt.Errorf("render %q: %w", t.text, err)
	}
	return names, nil
}
