package httpcache

import (
	"net/http"
	"testing"
)

func TestSelector(t *testing.T) {
	tests := []struct {
		about string
		field string
		a, b  []string
		same  bool
	}{
		{"space around list elements (RFC 9111 §4.1)", "Foo", []string{"1,2"}, []string{" 1 ,\t2 "}, true},
		{"lines are one list (RFC 9110 §5.3)", "Foo", []string{"1,2"}, []string{"1", "2"}, true},
		{"space inside an element", "Foo", []string{"a b,c"}, []string{"ab,c"}, false},
		{"space in a quoted-string (RFC 9110 §5.6.4)", "Foo", []string{`"a, b",c`}, []string{`"a,b",c`}, false},
		{"space around a quoted-string", "Foo", []string{`"a, b" , c`}, []string{`"a, b",c`}, true},
		{"an escaped quote ends nothing", "Foo", []string{`"a\", b",c`}, []string{`"a\",b",c`}, false},
		{"a quote that does not end: as it is", "Foo", []string{`"a, b`}, []string{`"a,b`}, false},
		{"no list at all", "User-Agent", []string{"x (a, b)"}, []string{"x (a,b)"}, false},
		{"order of an unknown list", "Foo", []string{"1,2"}, []string{"2,1"}, false},
		{"case of an unknown list", "Foo", []string{"a,b"}, []string{"A,b"}, false},

		{"order of languages (RFC 9110 §12.5.4)", "Accept-Language", []string{"en, de"}, []string{"de, en"}, true},
		{"case of languages (RFC 5646 §2.1.1)", "Accept-Language", []string{"en, de-AT"}, []string{"eN, De-at"}, true},
		{"space in a list of languages", "Accept-Language", []string{"en, de;q=0.5"}, []string{" en ,   de ; q=0.5"}, true},
		{"weights in other words (RFC 9110 §12.4.2)", "Accept-Language", []string{"en;q=1, de;q=0.5"}, []string{"en, de;Q=0.500"}, true},
		{"other weights", "Accept-Language", []string{"en, de;q=0.5"}, []string{"en, de;q=0.4"}, false},
		{"weights swapped", "Accept-Language", []string{"en, de;q=0.5"}, []string{"de, en;q=0.5"}, false},
		{"not acceptable is not unmentioned", "Accept-Language", []string{"en, de;q=0"}, []string{"en"}, false},
		{"said twice", "Accept-Encoding", []string{"gzip, gzip"}, []string{"gzip"}, true},
		{"order of codings (RFC 9110 §12.5.3)", "Accept-Encoding", []string{"gzip, br"}, []string{"br,gzip;q=1.0"}, true},
		{"an empty field accepts what identity does (RFC 9110 §12.5.3)", "Accept-Encoding", []string{"identity"}, []string{""}, true},
		{"a weight of more than one: as it is", "Accept-Language", []string{"en, de;q=1.5"}, []string{"de;q=1.5, en"}, false},
		{"a weight with four digits: as it is", "Accept-Language", []string{"en;q=0.5000"}, []string{"en;q=0.500"}, false},
		{"other parameters: as they are", "Accept-Language", []string{"en;x=1, de"}, []string{"de, en;x=1"}, false},
		{"not a language: as it is", "Accept-Language", []string{"en us, de"}, []string{"de, en us"}, false},
	}
	for _, tt := range tests {
		a, b := http.Header{tt.field: tt.a}, http.Header{tt.field: tt.b}
		names := []string{tt.field}
		if got := VaryMatch(names, a, b); got != tt.same {
			t.Errorf("%s: VaryMatch = %v", tt.about, got)
		}
		if got := string(VariantKey(nil, "k", names, a)) == string(VariantKey(nil, "k", names, b)); got != tt.same {
			t.Errorf("%s: equal VariantKey = %v", tt.about, got)
		}
	}
}

// The form of a value is its own form, and the order of preferences changes nothing (RFC 9111 §4.1).
func FuzzSelector(f *testing.F) {
	for _, seed := range []string{"en, de;q=0.5", "DE ,en", "*;q=0", "a;q=1.5", `"a, b", c`, `"a`, ",", "x;q=0.001,x"} {
		f.Add(seed, "fr")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{"Accept-Language", "Accept-Charset", "Accept-Encoding", "X-Any"} {
			form := string(appendSelector(nil, name, []string{a}))
			if again := string(appendSelector(nil, name, []string{form})); again != form {
				t.Fatalf("%s: %q has the form %q, which has the form %q", name, a, form, again)
			}
			ab, ba := appendSelector(nil, name, []string{a, b}), appendSelector(nil, name, []string{b, a})
			_, readable := preferences(nil, a+","+b)
			if name != "X-Any" && readable && string(ab) != string(ba) {
				t.Fatalf("%s: %q then %q is %q, the other way round %q", name, a, b, ab, ba)
			}
		}
	})
}
