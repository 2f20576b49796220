package httpcache

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestParseVary(t *testing.T) {
	many := make([]string, maxVary)
	for i := range many {
		many[i] = fmt.Sprintf("X-%c", 'A'+i)
	}
	tests := []struct {
		about string
		lines []string
		want  string
		star  bool
	}{
		{"absent", nil, "", false},
		{"empty elements (RFC 9110 §5.6.1.2)", []string{"", ", ,"}, "", false},
		{"sorted, canonical, once", []string{"origin,ACCEPT", "accept ,\tOrigin"}, "Accept Origin", false},
		{"star (RFC 9111 §4.1)", []string{"*"}, "", true},
		{"star among names", []string{"Accept", "Origin, *"}, "", true},
		{"not a field name", []string{"Accept;q=1"}, "", true},
		{"as many as are compared", []string{strings.Join(many, ",")}, strings.Join(many, " "), false},
		{"one more", []string{strings.Join(many, ","), "Y"}, "", true},
	}
	for _, tt := range tests {
		names, star := ParseVary(tt.lines)
		if got := strings.Join(names, " "); got != tt.want || star != tt.star {
			t.Errorf("%s: %q, %v", tt.about, got, star)
		}
	}
}

func TestVariants(t *testing.T) {
	names := []string{"Accept", "Origin"}
	tests := []struct {
		about string
		a, b  http.Header
		same  bool
	}{
		{"both absent (RFC 9111 §4.1)", header(), header("X: 1"), true},
		{"absent is not empty", header(), header("Accept: "), false},
		{"same", header("Accept: a"), header("Accept: a"), true},
		{"different", header("Accept: a"), header("Accept: b"), false},
		{"case matters", header("Accept: a"), header("Accept: A"), false},
		{"space around it does not (§4.1)", header("Accept: a"), header("Accept:   a\t"), true},
		{"nor does the spread over lines (§4.1)", header("Accept: a, b"), header("Accept: a", "Accept: b"), true},
		{"order does", header("Accept: a", "Accept: b"), header("Accept: b", "Accept: a"), false},
		{"an empty line is an element", header("Accept: a"), header("Accept: a", "Accept: "), false},
		{"the field matters", header("Accept: a"), header("Origin: a"), false},
		{"lengths keep values apart", header("Accept: a", "Origin: bc"), header("Accept: ab", "Origin: c"), false},
	}
	for _, tt := range tests {
		if got := VaryMatch(names, tt.a, tt.b); got != tt.same {
			t.Errorf("%s: VaryMatch = %v", tt.about, got)
		}
		a, b := VariantKey(nil, "k", names, tt.a), VariantKey(nil, "k", names, tt.b)
		if got := string(a) == string(b); got != tt.same {
			t.Errorf("%s: equal VariantKey = %v", tt.about, got)
		}
	}
}

func TestVariantKeyAppends(t *testing.T) {
	got := VariantKey([]byte("x"), "k", []string{"Accept"}, header("Accept: a"))
	if want := "x\x01k\x01\x06Accept\x01\x01a"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	dst, h, names := make([]byte, 0, 256), header("Accept: a"), []string{"Accept", "Origin"}
	if n := testing.AllocsPerRun(100, func() { VariantKey(dst, "primary", names, h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzVary(f *testing.F) {
	f.Add("Accept, *", "a", "b", "k", "k2")
	f.Add("x,y , Z", "", " a", "\x01k", "")
	f.Add("Accept", "a, b", "a", "k", "k")
	f.Fuzz(func(t *testing.T, vary, v1, v2, p1, p2 string) {
		names, star := ParseVary([]string{vary})
		if star != (names == nil) && star {
			t.Fatalf("star with names %q", names)
		}
		if !slices.IsSorted(names) || len(names) > maxVary {
			t.Fatalf("names %q", names)
		}
		if len(names) == 0 {
			return
		}
		a, b := http.Header{names[0]: {v1}}, http.Header{names[0]: {v2}}
		same := p1 == p2 && VaryMatch(names, a, b)
		k1, k2 := VariantKey(nil, p1, names, a), VariantKey(nil, p2, names, b)
		if (string(k1) == string(k2)) != same {
			t.Fatalf("keys %q and %q, but same is %v", k1, k2, same)
		}
	})
}
