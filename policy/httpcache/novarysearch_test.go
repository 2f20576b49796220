package httpcache

import (
	"slices"
	"testing"
)

// The cases of draft-ietf-httpbis-no-vary-search, sections 2 to 5.
func TestSearchVariance(t *testing.T) {
	for _, c := range []struct {
		name  string
		field []string
		a, b  string
		alike bool
	}{
		{"no field: every byte matters", nil, "a=1", "a=1", true},
		{"no field", nil, "a=1&b=2", "b=2&a=1", false},
		{"key-order", []string{"key-order"}, "a=1&b=2", "b=2&a=1", true},
		{"key-order keeps the order of equal names", []string{"key-order"}, "a=1&a=2", "a=2&a=1", false},
		{"key-order=?0", []string{"key-order=?0"}, "a=1&b=2", "b=2&a=1", false},
		{"key-order, another value", []string{"key-order"}, "a=1", "a=2", false},
		{"params: one", []string{`params=("utm")`}, "a=1&utm=x", "utm=y&a=1", true},
		{"params: another is left", []string{`params=("utm")`}, "a=1&utm=x", "a=2&utm=x", false},
		{"params: absent and present", []string{`params=("utm")`}, "a=1", "a=1&utm=x", true},
		{"params: the only one", []string{`params=("utm")`}, "", "utm=x", true},
		{"params without key-order keeps the order", []string{`params=("utm")`}, "a=1&b=2", "b=2&a=1", false},
		{"params and key-order", []string{`params=("utm"), key-order`}, "a=1&b=2&utm=1", "b=2&a=1", true},
		{"on two lines", []string{`params=("utm")`, "key-order"}, "a=1&b=2&utm=1", "b=2&a=1", true},
		{"params: all", []string{"params"}, "a=1", "b=2", true},
		{"params=?0", []string{"params=?0"}, "a=1", "b=2", false},
		{"except", []string{`params, except=("a")`}, "a=1&b=2", "a=1&c=3", true},
		{"except: what matters", []string{`params, except=("a")`}, "a=1", "a=2", false},
		{"except nothing", []string{`params, except=()`}, "a=1", "b=2", true},
		{"names are escaped as in a query", []string{`params=("%C3%A9+x")`}, "é x=1&b=1", "%c3%a9%20x=2&b=1", true},
		{"once there is a variance, equal escapes are equal", []string{`params=("z")`}, "a=%41", "a=A", true},
		{"a separator inside a value", []string{`params=("z")`}, "a=1%26b=2", "a=1&b=2", false},
		{"a value like a name", []string{`params=("z")`}, "a=&b=", "ab=&=", false},

		{"malformed dictionary", []string{`params=("utm"`}, "utm=1", "utm=2", false},
		{"a token is no string", []string{`params=(utm)`}, "utm=1", "utm=2", false},
		{"a string is no list", []string{`params="utm"`}, "utm=1", "utm=2", false},
		{"key-order is no boolean", []string{`key-order="x"`}, "a=1&b=2", "b=2&a=1", false},
		{"key-order is no boolean, all is ignored", []string{`key-order=1, params`}, "a=1", "b=2", false},
		{"except without params", []string{`except=("a")`}, "a=1&b=1", "a=1", false},
		{"except beside a list", []string{`params=("b"), except=("a")`}, "a=1&b=1", "a=1", false},
		{"except is no list", []string{`params, except`}, "a=1", "b=1", false},
		{"except beside params=?0", []string{`params=?0, except=("a")`}, "a=1&b=1", "a=1", false},
		{"unknown keys say nothing", []string{`other=("b")`}, "a=1&b=1", "a=1", false},
	} {
		v := ParseSearchVariance(c.field)
		alike := c.a == c.b
		if !v.Varies() {
			alike = string(v.AppendQuery(nil, c.a)) == string(v.AppendQuery(nil, c.b))
		}
		if alike != c.alike {
			t.Errorf("%s: %q with %q and %q: alike %t, want %t", c.name, c.field, c.a, c.b, alike, c.alike)
		}
	}
}

// A query is always like itself, order and rules aside nothing is lost, and a malformed field makes nothing alike.
func FuzzSearchVariance(f *testing.F) {
	f.Add(`params=("a" "b"), key-order`, "a=1&c=2", "c=2&b")
	f.Add(`params, except=("a")`, "a", "b")
	f.Add(``, "%", "%25")
	f.Fuzz(func(t *testing.T, field, a, b string) {
		v := ParseSearchVariance([]string{field})
		if !v.Equal(ParseSearchVariance([]string{field})) {
			t.Fatal("not the same twice")
		}
		if v.Others || len(v.Names) > 0 {
			return
		}
		// Nothing is dropped: two queries alike have the same parameters.
		if string(v.AppendQuery(nil, a)) == string(v.AppendQuery(nil, b)) {
			for _, query := range []string{a, b} {
				for _, piece := range []string{a, b} {
					name := PieceName(piece)
					if got, want := slices.Collect(QueryValues(query, unescapeForm(name))), slices.Collect(QueryValues(a, unescapeForm(name))); len(got) != len(want) {
						t.Fatalf("%q and %q are alike, but %q occurs %d and %d times", a, b, name, len(got), len(want))
					}
				}
			}
		}
	})
}
