package httpcache

import (
	"strings"
	"testing"
)

func TestCanonicalAcceptEncoding(t *testing.T) {
	tests := []struct {
		about string
		lines []string
		want  string
	}{
		{"empty: no coding is wanted (RFC 9110 §12.5.3)", []string{""}, "identity"},
		{"identity", []string{"identity"}, "identity"},
		{"Chrome", []string{"gzip, deflate, br, zstd"}, "gzip, br, zstd"},
		{"Safari", []string{"gzip, deflate, br"}, "gzip, br"},
		{"order", []string{"zstd,br,gzip"}, "gzip, br, zstd"},
		{"lines", []string{"zstd", "br, gzip"}, "gzip, br, zstd"},
		{"case (§8.4.1)", []string{"GZip, BR"}, "gzip, br"},
		{"space (§5.6.3)", []string{" gzip ;\tq=1 ,, br"}, "gzip, br"},
		{"x-gzip is gzip (§8.4.1.3)", []string{"x-gzip"}, "gzip"},
		{"weights that accept (§12.4.2)", []string{"gzip;q=0.5, br;Q=1.000, zstd;q=0.001"}, "gzip, br, zstd"},
		{"a weight of zero does not (§12.5.3)", []string{"gzip;q=0, br;q=0.000, zstd;q=0., compress"}, "identity"},
		{"star: any that is not listed (§12.5.3)", []string{"*"}, "gzip, br, zstd"},
		{"star, but not these", []string{"br;q=0, *;q=0.1"}, "gzip, zstd"},
		{"star of zero forbids identity (§12.5.3)", []string{"gzip, *;q=0"}, "gzip, identity;q=0"},
		{"unless it is listed", []string{"gzip, identity;q=0.1, *;q=0"}, "gzip"},
		{"identity forbidden", []string{"identity;q=0, br"}, "br, identity;q=0"},
		{"nothing is acceptable", []string{"*;q=0"}, "identity;q=0"},
		{"codings that nobody else could read", []string{"deflate, compress, dcb, dcz, pack200-gzip"}, "identity"},
		{"one that only begins alike", []string{"gzipped, b, zst"}, "identity"},
		{"contradiction: what claims less", []string{"gzip, x-gzip;q=0, br;q=0, br"}, "identity"},
		{"malformed weights", []string{"gzip;q=2, br;q=1.001, zstd;q=0.0001"}, "identity"},
		{"malformed weights", []string{"gzip;q=, br;q, zstd;q=-1"}, "identity"},
		{"malformed weights", []string{"gzip;q=1;x=1, br;x=1, zstd;q=0,5"}, "identity"},
		{"malformed star", []string{"gzip, *;q=x"}, "gzip"},
		{"malformed identity", []string{"gzip, identity;q=x"}, "gzip"},
		{"not a list of codings", []string{"gzip br", "\"zstd\""}, "identity"},
	}
	for _, tt := range tests {
		if got := parseAcceptEncoding(tt.lines).canonical(); got != tt.want {
			t.Errorf("%s: %q: %q, want %q", tt.about, tt.lines, got, tt.want)
		}
	}
}

func TestPrefers(t *testing.T) {
	for field, want := range map[string]string{
		"zstd":                        "zstd",
		"gzip, deflate, br, zstd":     "gzip br zstd",
		"":                            "",
		"identity, gzip":              "gzip",
		"identity, gzip;q=0.9":        "",
		"identity;q=0.5, gzip, br":    "gzip br",
		"*":                           "gzip br zstd",
		"*;q=0.5, identity":           "",
		"gzip;q=0":                    "",
		"gzip;q=0.001":                "gzip",
		"identity;q=0, br;q=0.1":      "br",
		"gzip;q=1.0, identity; q=0.5": "gzip",
	} {
		var got []string
		a := parseAcceptEncoding([]string{field})
		for c := Gzip; c < codings; c++ {
			if a.prefers(c) {
				got = append(got, c.String())
			}
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%q: %q, want %q", field, got, want)
		}
	}
}

// accepts is RFC 9110 §12.5.3 read literally, for fields that are well formed.
func accepts(field, coding string) bool {
	star, listed, accepted := "", false, true
	for element := range strings.SplitSeq(strings.ToLower(field), ",") {
		name, weight, _ := strings.Cut(element, ";")
		name = strings.Trim(name, " \t")
		value := strings.TrimPrefix(strings.Trim(weight, " \t"), "q=")
		zero := weight != "" && strings.Trim(value, "0.") == ""
		switch {
		case name == "*" && (star == "" || zero):
			star = map[bool]string{true: "no", false: "yes"}[zero]
		case name == coding || name == "x-gzip" && coding == "gzip":
			listed, accepted = true, accepted && !zero
		}
	}
	switch {
	case listed:
		return accepted
	case star != "":
		return star == "yes"
	}
	return coding == "identity"
}

// What is sent in place of a field accepts nothing that the field does not, and stands for itself.
func FuzzAcceptEncoding(f *testing.F) {
	for _, seed := range []string{"", "gzip, deflate, br, zstd", "x-gzip;q=0.5, *;q=0", "identity;q=0", "*", "gzip;q=0, *", "gzip;q=1.001;x", ",, ;q=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		a := parseAcceptEncoding([]string{field})
		canonical := a.canonical()
		again := parseAcceptEncoding([]string{canonical})
		if got := again.canonical(); got != canonical {
			t.Fatalf("%q: %q, and of that %q", field, canonical, got)
		}
		for c := Identity; c < codings; c++ {
			if a.accepts(c) != again.accepts(c) {
				t.Fatalf("%q and %q do not accept %s alike", field, canonical, c)
			}
			// What cannot be read says nothing about identity, which then is acceptable by default.
			if c != Identity && a.accepts(c) && !accepts(field, c.String()) {
				t.Fatalf("%q: claims to accept %s", field, c)
			}
		}
	})
}

// The same for fields that are well formed, where nothing is lost either.
func FuzzAcceptEncodingExactly(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6})
	f.Add([]byte{12, 33, 4})
	f.Fuzz(func(t *testing.T, choices []byte) {
		names := []string{"gzip", "br", "zstd", "identity", "*", "deflate", "X-GZIP"}
		weights := []string{"", ";q=0", ";q=1", "; q=0.5", ";q=0.000", ";q=1.0", ";q=0.001"}
		var elements []string
		for _, b := range choices {
			elements = append(elements, names[int(b)%7]+weights[int(b)/7%7])
		}
		field := strings.Join(elements, ", ")
		a := parseAcceptEncoding([]string{field})
		for c := Identity; c < codings; c++ {
			if got, want := a.accepts(c), accepts(field, c.String()); got != want {
				t.Fatalf("%q accepts %s: %v, want %v", field, c, got, want)
			}
		}
	})
}
