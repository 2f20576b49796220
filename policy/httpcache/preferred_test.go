package httpcache

import (
	"strings"
	"testing"
)

func TestAppendPreferred(t *testing.T) {
	tests := []struct {
		about, name string
		lines       []string
		want        string
	}{
		{"absent: anything (RFC 9110 §12.5.1)", "Accept", nil, ""},
		{"empty says no more", "Accept", []string{""}, ""},
		{"empty elements (§5.6.1.2)", "Accept", []string{" , ,"}, ""},
		{"one", "Accept", []string{"application/json"}, "application/json"},
		{"anything", "Accept", []string{"*/*"}, "*/*"},
		{"anything, as some clients write it", "Accept", []string{"*"}, "*/*"},
		{"Chrome, a page", "Accept", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"}, "text/html, */*;q=0.1"},
		{"Firefox, a page", "Accept", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, "text/html, */*;q=0.1"},
		{"Chrome, an image", "Accept", []string{"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}, "image/avif, */*;q=0.1"},
		{"axios", "Accept", []string{"application/json, text/plain, */*"}, "application/json, */*;q=0.1"},
		{"jQuery", "Accept", []string{"application/json, text/javascript, */*; q=0.01"}, "application/json, */*;q=0.1"},
		{"the highest weight (§12.4.2)", "Accept", []string{"text/html;q=0.5, application/json;q=0.9, text/plain;q=0.8"}, "application/json"},
		{"wherever it stands (§12.5.1)", "Accept", []string{"text/html;q=0.5;level=1, text/plain;q=0.4"}, "text/html;level=1"},
		{"a weight of zero is not acceptable (§12.4.2)", "Accept", []string{"text/html;q=0, text/plain;q=0.000"}, ""},
		{"anything but", "Accept", []string{"text/html;q=0, */*;q=0.5"}, "*/*"},
		{"the more specific (§12.5.1)", "Accept", []string{"*/*, image/*, image/png"}, "image/png, */*;q=0.1"},
		{"a family (§12.5.1)", "Accept", []string{"*/*;q=0.5, image/*"}, "image/*, */*;q=0.1"},
		{"a weight goes before what is specific", "Accept", []string{"*/*, image/png;q=0.9"}, "*/*"},
		{"the first of two", "Accept", []string{"a/b, c/d"}, "a/b"},
		{"lines are one list (§5.3)", "Accept", []string{"a/b;q=0.1", "c/d"}, "c/d"},
		{"case (§8.3.1)", "Accept", []string{"Text/HTML;Level=A;Q=0.5"}, "text/html;level=A"},
		{"space (§5.6.3)", "Accept", []string{"  text/html ;\tlevel=1 ; q=1 ,a/b"}, "text/html;level=1"},
		{"a quoted-string (§5.6.4)", "Accept", []string{`text/html;p="a,b;q=0;\"", a/b`}, `text/html;p="a,b;q=0;\""`},
		{"a quote that does not end", "Accept", []string{`text/html;p="a, a/b`, "c/d"}, "c/d"},
		{"a version", "Accept", []string{"application/vnd.shop+json; version=2"}, "application/vnd.shop+json;version=2"},
		{"malformed elements do not count", "Accept", []string{"a b/c, /d, e/, */f, g/h;q=2, i/j;q=., i/j;q=.5555, i/j;q=-.5, k/l;=, m/n;x, o/p;q=0.1"}, "o/p"},
		{"nothing but malformed", "Accept", []string{"a b", "\x00/\x01", "\xff/\xff", "a/b;q=x"}, ""},
		{"Java", "Accept", []string{"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}, "text/html, */*;q=0.1"},
		{"a weight without its 0", "Accept", []string{"a/b;q=.2, c/d;q=.375, e/f;q=0.3"}, "c/d"},
		{"two weights say nothing", "Accept", []string{"a/b;q=0.5;q=0.9, c/d;q=0.1, */*;q=0.1;q=0.1"}, "c/d"},
		{"no injected line", "Accept", []string{"a/b;p=\"\r\nX: 1\""}, ""},
		{"an element that is too long", "Accept", []string{"a/" + strings.Repeat("b", 254) + ", c/d;q=0.1"}, "c/d"},
		{"one that is not", "Accept", []string{"a/" + strings.Repeat("b", 253)}, "a/" + strings.Repeat("b", 253)},
		{"too long in all", "Accept", []string{strings.Repeat("a/b,", 200), strings.Repeat("a/b,", 57)}, ""},
		{"not too long in all", "Accept", []string{strings.Repeat("a/b,", 200), strings.Repeat("a/b,", 56)}, "a/b"},

		{"absent: any language (§12.5.4)", "Accept-Language", nil, ""},
		{"empty", "Accept-Language", []string{""}, ""},
		{"Chrome", "Accept-Language", []string{"de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"}, "de-DE"},
		{"Firefox", "Accept-Language", []string{"de,en-US;q=0.7,en;q=0.3"}, "de"},
		{"in another order", "Accept-Language", []string{"en;q=0.7, de"}, "de"},
		{"any (RFC 4647 §2.1)", "Accept-Language", []string{"*"}, "*"},
		{"a tag before any", "Accept-Language", []string{"*, de"}, "de"},
		{"unless any is preferred", "Accept-Language", []string{"*, de;q=0.9"}, "*"},
		{"case (RFC 5646 §2.1.1)", "Accept-Language", []string{"ZH-hANT-hk"}, "zh-Hant-HK"},
		{"after a singleton", "Accept-Language", []string{"EN-us-X-GB-ABCD"}, "en-US-x-gb-abcd"},
		{"a token that is no tag", "Accept-Language", []string{"de_DE"}, "de_de"},
		{"malformed", "Accept-Language", []string{"de-DE;q=1.1, fr;x=1, en us, it;q=0.1"}, "it"},
		{"a weight without its 0", "Accept-Language", []string{"de;q=.2, fr;q=.9, it;q=0.3, en;q=."}, "fr"},
		{"two weights say nothing", "Accept-Language", []string{"de;q=0.5;q=0.9, it;q=0.1"}, "it"},
		{"what is refused is not told", "Accept-Language", []string{"*, en;q=0"}, "*"},
		{"zero (RFC 9110 §12.4.2)", "Accept-Language", []string{"de;q=0"}, ""},

		{"absent: any charset (§12.5.2)", "Accept-Charset", nil, ""},
		{"a charset", "Accept-Charset", []string{"ISO-8859-1;q=0.5, UTF-8, *;q=0.1"}, "utf-8"},
		{"any", "Accept-Charset", []string{"*"}, "*"},
	}
	for _, tt := range tests {
		got := string(AppendPreferred(nil, tt.name, tt.lines))
		if got != tt.want {
			t.Errorf("%s: %s: %q: %q, want %q", tt.about, tt.name, tt.lines, got, tt.want)
		}
	}
}

// Whatever a client makes up: the form has a bounded length, is a value that may be sent, is the form of itself, and is the same for what is
// spread over lines.
func FuzzAppendPreferred(f *testing.F) {
	for _, value := range []string{
		"text/html,application/xhtml+xml,*/*;q=0.8", "de-DE,de;q=0.9", `a/b;p="\",";q=0.1, c/d;q=1.000`, "*, */*", ";q=1", "a/b;q=0.5;Q=1;q=0", "\x00\r\n,\"",
	} {
		f.Add(value, "utf-8;q=0.1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{"Accept", "Accept-Language", "Accept-Charset"} {
			form := AppendPreferred([]byte("x"), name, []string{a, b})
			if form[0] != 'x' {
				t.Fatalf("%s: %q, %q: what was there is gone", name, a, b)
			}
			got := string(form[1:])
			if len(got) > maxPreferred+len(anythingElse) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s: %q, %q: %q", name, a, b, got)
			}
			if again := string(AppendPreferred(nil, name, []string{got})); again != got {
				t.Errorf("%s: %q, %q: %q, and of that %q", name, a, b, got, again)
			}
			if !strings.Contains(a, `"`) {
				if joined := string(AppendPreferred(nil, name, []string{a + "," + b})); joined != got && len(a)+len(b) < maxPreferences {
					t.Errorf("%s: %q, %q: %q, and in one line %q", name, a, b, got, joined)
				}
			}
		}
	})
}

func TestAppendPreferredAllocatesNothing(t *testing.T) {
	lines := map[string][]string{
		"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"},
		"Accept-Language": {"de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"},
	}
	room := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		for name, list := range lines {
			room = AppendPreferred(room[:0], name, list)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppendPreferred(b *testing.B) {
	page := []string{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"}
	languages := []string{"de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"}
	room := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		room = AppendPreferred(room[:0], "Accept", page)
		room = AppendPreferred(room, "Accept-Language", languages)
	}
}
