package policy

import (
	"strings"
	"testing"
)

func TestTemplatesMayEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"v1:stock:{sku}", "v1:stock:{id}", true},
		{"v1:stock:{sku}", "v1:stok:{sku}", false},
		{"v1:stock:{sku}", "v2:stock:{sku}", false},
		{"v1:stock:{sku}", "v1:stock", false},
		{"v1:stock:{sku}", "v1:stock:", true}, // without a value
		{"v1:stock:{sku}", "v1:stock:7", true},
		{"v1:stock:{sku}", "{version}:{table}:{id}", true},
		{"v1:stock:{sku}", "{version}:{table}", false}, // a colon of a value is escaped
		{"v1:stock:{sku}", "v1:stock:{warehouse}:{sku}", false},
		{"v1:stock:{sku}", "v1:stock:{a}{b}", true},
		{"v1:stock:{sku}", "v1:stock:{a}-{b}", true},
		{"{a}-{b}", "x-{c}-y", true},
		{"{a}-x", "y{b}", true},
		{"{a}-x", "{b}-y", false},
		{"a/{b}", "{c}", false},
		{"100%-{a}", "{c}", true},
		{"{a}", "{b}", true},
		{"{{a}}", "{b}", true},
		{"same", "same", true},
		{"same", "other", false},
		{"{header.X-A}:{query.b}", "{body.items.#.id}:{host}", true},
		{strings.Repeat("a", 2000), strings.Repeat("b", 2000), true}, // too long
	} {
		a, b := mustTemplate(t, c.a), mustTemplate(t, c.b)
		if got, back := a.MayEqual(b), b.MayEqual(a); got != c.want || back != c.want {
			t.Errorf("%.40q and %.40q: %v, and the other way round %v; want %v", c.a, c.b, got, back, c.want)
		}
	}
}

// Of any two templates that a request gives one name, none is told apart.
func FuzzTemplatesMayEqual(f *testing.F) {
	f.Add("v1:{host}", "{host}:{query.a}", "v1", "a=:/%25")
	f.Add("{host}{query.a}-", "a{query.a}-", "a", "a=b")
	f.Fuzz(func(t *testing.T, a, b, host, query string) {
		first, err := ParseTemplate(a)
		second, err2 := ParseTemplate(b)
		if err != nil || err2 != nil {
			return
		}
		v := Values{Query: query}
		v.Target.Host = host
		one, _ := first.Render(v)
		other, _ := second.Render(v)
		if one == other && !first.MayEqual(second) {
			t.Errorf("%q and %q are both %q, and told apart", a, b, one)
		}
	})
}
