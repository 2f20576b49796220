package httpcache

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseDirectives(t *testing.T) {
	maxAge := func(d time.Duration) Directives { return Directives{HasMaxAge: true, MaxAge: d} }
	tests := []struct {
		about string
		lines []string
		want  Directives
	}{
		{"absent", nil, Directives{}},
		{"empty line and empty elements (RFC 9110 §5.6.1.2)", []string{"", " , ,"}, Directives{}},
		{"every directive (RFC 9111 §5.2.2)",
			[]string{"no-store, no-cache, private, public, must-revalidate, proxy-revalidate, must-understand, immutable, no-transform, only-if-cached"},
			Directives{NoStore: true, NoCache: true, Private: true, Public: true, MustRevalidate: true, sharesByMustRevalidate: true, ProxyRevalidate: true,
				MustUnderstand: true, OnlyIfCached: true}},
		{"every lifetime (RFC 9111 §5.2.2, RFC 5861)",
			[]string{"max-age=1,s-maxage=2", "stale-while-revalidate=3 , stale-if-error=4"},
			Directives{MaxAge: time.Second, HasMaxAge: true, SMaxAge: 2 * time.Second, HasSMaxAge: true, sharesBySMaxAge: true,
				StaleWhileRevalidate: 3 * time.Second, HasStaleWhileRevalidate: true, StaleIfError: 4 * time.Second, HasStaleIfError: true}},
		{"names in any case (§5.2)", []string{"MaX-aGe=60, NO-TRANSFORM"}, Directives{HasMaxAge: true, MaxAge: time.Minute}},
		{"argument as quoted-string (§5.2)", []string{`max-age="60"`}, maxAge(time.Minute)},
		{"quoted-pair in the argument (RFC 9110 §5.6.4)", []string{`max-age="6\0"`}, maxAge(time.Minute)},
		{"unknown directives are ignored (§5.2.3)", []string{`community="UCI, max-age=100", max-age=60, x=1`}, maxAge(time.Minute)},
		{"leading zeros", []string{"max-age=0060"}, maxAge(time.Minute)},
		{"the least of duplicates (§4.2.1)", []string{"max-age=60", "max-age=3600, max-age=90"}, maxAge(time.Minute)},
		{"the least of duplicates, one invalid (§4.2.1)", []string{"max-age=60, max-age=x"}, maxAge(0)},
		{"too large is cut (§1.2.2)", []string{"max-age=99999999999999999999999"}, maxAge(maxDelta)},
		{"exactly 2^31 (§1.2.2)", []string{"max-age=2147483648"}, maxAge(maxDelta)},
		{"one less than 2^31", []string{"max-age=2147483647"}, maxAge(maxDelta - time.Second)},
		{"negative is invalid, so stale (§4.2.1)", []string{"max-age=-60"}, maxAge(0)},
		{"fraction is invalid", []string{"max-age=60.0"}, maxAge(0)},
		{"unit is invalid", []string{"max-age=60s"}, maxAge(0)},
		{"no argument is invalid", []string{"max-age"}, maxAge(0)},
		{"an empty argument is neither token nor quoted-string", []string{"max-age=, no-transform"}, Directives{HasMaxAge: true, Malformed: true}},
		{"empty quoted argument is invalid", []string{`max-age=""`}, maxAge(0)},
		{"single quotes are part of a token", []string{"max-age='60'"}, maxAge(0)},
		{"space after = is not in the grammar, the name counts", []string{"max-age= 60"}, Directives{HasMaxAge: true, Malformed: true}},
		{"space before = is not in the grammar, the name counts", []string{"max-age =60, no-store =1"}, Directives{HasMaxAge: true, NoStore: true, Malformed: true}},
		{"space before a comma and at the end is (RFC 9110 §5.6.1)", []string{"max-age=60 ,\tno-transform\t, x=\"a\" , "}, Directives{HasMaxAge: true, MaxAge: time.Minute}},
		{"qualified no-cache is no-cache (§5.2.2.4)", []string{`no-cache="set-cookie, X-a"`},
			Directives{NoCache: true}},
		{"qualified private is private (§5.2.2.7)", []string{"private=x-user"}, Directives{Private: true}},
		{"an argument does not weaken what restricts", []string{"no-store=0, must-revalidate=0"}, Directives{NoStore: true, MustRevalidate: true}},
		{"an argument takes away what permits", []string{"public=no, immutable=no"}, Directives{}},
		{"a quote that never ends", []string{`private="x, no-store`}, Directives{Private: true, NoStore: true, Malformed: true}},
		{"a quote that never ends, escaped", []string{`x="\"`, "max-age=60"}, Directives{HasMaxAge: true, MaxAge: time.Minute, Malformed: true}},
		{"text after a quoted-string", []string{`x="a"b, max-age=60`}, Directives{HasMaxAge: true, MaxAge: time.Minute, Malformed: true}},
		{"a quote inside a token", []string{`x=a", no-store, y="`}, Directives{NoStore: true, Malformed: true}},
		{"a quoted part inside a token", []string{`x=a"b"`}, Directives{Malformed: true}},
		{"semicolons separate nothing", []string{"public; max-age=60"}, Directives{Malformed: true}},
		{"space separates nothing", []string{"public max-age=60"}, Directives{Malformed: true}},
		{"no name", []string{"=1"}, Directives{Malformed: true}},
		{"a restriction behind a semicolon", []string{"max-age=0; private"}, Directives{HasMaxAge: true, Private: true, Malformed: true}},
		{"behind a space", []string{"max-age=0 private"}, Directives{HasMaxAge: true, Private: true, Malformed: true}},
		{"behind several, in any case", []string{"Max-Age=0;No-Store;Must-Revalidate"}, Directives{HasMaxAge: true, NoStore: true, MustRevalidate: true, Malformed: true}},
		{"before one", []string{"no-cache; max-age=60"}, Directives{NoCache: true, Malformed: true}},
		{"behind text after a quoted-string", []string{`x="a" proxy-revalidate`}, Directives{ProxyRevalidate: true, Malformed: true}},
		{"behind other signs", []string{"max-age=0|x/private:"}, Directives{HasMaxAge: true, Private: true, Malformed: true}},
		{"as part of a word it is none", []string{"max-age=0; x-private, no-stores y"}, Directives{HasMaxAge: true, Malformed: true}},
		{"a permission behind one does not count", []string{"max-age=0; public", "s-maxage=9; immutable"}, Directives{HasMaxAge: true, HasSMaxAge: true, Malformed: true}},
		{"in a line that can be read, an argument forbids nothing", []string{`x="private", y=no-store`}, Directives{}},
		{"all lines are malformed with one of them", []string{"max-age=60", "x y"}, Directives{HasMaxAge: true, MaxAge: time.Minute, Malformed: true}},
	}
	for _, tt := range tests {
		if got := ParseDirectives(tt.lines); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %q:\n got %+v\nwant %+v", tt.about, tt.lines, got, tt.want)
		}
	}
}

func FuzzCacheControl(f *testing.F) {
	for _, seed := range []string{"", "no-store", `private="a,b", max-age=1`, `x="\"`, "max-age=99999999999999999999", "a=b=c", `"`, "=,=", "public;max-age=1", "max-age=\x00", "max-age=0; private", `x="a" no-store`} {
		f.Add(seed, "max-age=60")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		d := ParseDirectives([]string{a, b})
		for _, v := range []time.Duration{d.MaxAge, d.SMaxAge, d.StaleIfError, d.StaleWhileRevalidate} {
			if v < 0 || v > maxDelta {
				t.Fatalf("%q, %q: %v out of range", a, b, v)
			}
		}
		// One more line must never lift a restriction, nor prolong a lifetime.
		one := ParseDirectives([]string{a})
		if one.NoStore && !d.NoStore || one.Private && !d.Private || one.NoCache && !d.NoCache || one.Malformed && !d.Malformed ||
			one.HasMaxAge && (!d.HasMaxAge || d.MaxAge > one.MaxAge) || one.HasSMaxAge && (!d.HasSMaxAge || d.SMaxAge > one.SMaxAge) {
			t.Fatalf("%q is less restricted with %q: %+v, %+v", a, b, one, d)
		}
		// A restriction is always seen, however it is separated from what stands before it, or the field is malformed.
		for _, separator := range []string{",", ";", " ", " ; ", "\t", "/"} {
			if d := ParseDirectives([]string{a + separator + "no-store"}); !d.NoStore && !d.Malformed && !strings.ContainsAny(a, `"`) {
				t.Fatalf("no-store after %q and %q is not seen", a, separator)
			}
		}
		if !strings.ContainsAny(a, `"`) && !ParseDirectives([]string{a + ",no-store"}).NoStore {
			t.Fatalf("no-store after %q is not seen", a)
		}
	})
}
