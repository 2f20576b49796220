package httpcache

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The short way reads nothing that the time package does not, and of what that reads in the usual case leaves nothing out.
func TestFixdateIsReadAsTheTimePackageDoes(t *testing.T) {
	for _, good := range []string{"Mon, 08 Aug 2050 02:01:18 GMT", "Thu, 29 Feb 2024 23:59:59 GMT", "Sun, 31 Dec 1899 00:00:00 GMT"} {
		for i := range good {
			for c := byte(' '); c <= '~'; c++ {
				text := good[:i] + string(c) + good[i+1:]
				got, ok := parseFixdate(text)
				want, err := time.Parse(http.TimeFormat, text)
				if usual := err == nil && want.Format(http.TimeFormat)[5:] == text[5:] && text[:3] == titled(text[:3]); ok != usual || ok && !got.Equal(want) {
					t.Errorf("%q: %v, %v; the time package: %v, %v", text, got, ok, want, err)
				}
			}
		}
	}
}

func titled(s string) string { return strings.ToUpper(s[:1]) + strings.ToLower(s[1:]) }

func TestParseDate(t *testing.T) {
	want := time.Date(2050, 8, 8, 2, 1, 18, 0, time.UTC)
	tests := []struct {
		about, text string
		ok          bool
	}{
		{"IMF-fixdate (RFC 9110 §5.6.7)", "Mon, 08 Aug 2050 02:01:18 GMT", true},
		{"rfc850-date", "Monday, 08-Aug-50 02:01:18 GMT", true},
		{"asctime-date", "Mon Aug  8 02:01:18 2050", true},
		{"any case (RFC 9111 §4.2)", "mON, 08 aUG 2050 02:01:18 gmt", true},
		{"any case", "MONDAY, 08-AUG-50 02:01:18 Gmt", true},
		{"any case", "MON AUG  8 02:01:18 2050", true},
		{"the day is another", "Thu, 08 Aug 2050 02:01:18 GMT", true},
		{"another zone (§4.2)", "Mon, 08 Aug 2050 02:01:18 UTC", false},
		{"another zone", "Mon, 08 Aug 2050 02:01:18 AEST", false},
		{"another zone", "Monday, 08-Aug-50 02:01:18 AEST", false},
		{"an offset", "Mon, 08 Aug 2050 02:01:18 +0000", false},
		{"no zone", "Mon, 08 Aug 2050 02:01:18", false},
		{"a year of two digits", "Mon, 08 Aug 50 02:01:18 GMT", false},
		{"no comma", "Mon 08 Aug 2050 02:01:18 GMT", false},
		{"more space", "Mon, 08  Aug  2050 02:01:18 GMT", false},
		{"dashes", "Mon, 08-Aug-2050 02:01:18 GMT", false},
		{"periods", "Mon, 08 Aug 2050 02.01.18 GMT", false},
		{"an hour of one digit", "Mon, 08 Aug 2050 2:01:18 GMT", false},
		{"an hour of one digit, and more space to make up for it", "Mon, 08  Aug 2050 2:01:18 GMT", false},
		{"a day of one digit", "Mon, 8 Aug 2050 02:01:18 GMT", false},
		{"a part of a second", "Mon, 08 Aug 2050 02:01:18.0 GMT", false},
		{"one space in asctime", "Mon Aug 8 02:01:18 2050", false},
		{"a day that is none", "Mon, 31 Feb 2050 02:01:18 GMT", false},
		{"something after it", "Mon, 08 Aug 2050 02:01:18 GMT;", false},
		{"a number", "0", false},
		{"nothing", "", false},
	}
	for _, tt := range tests {
		got, ok := parseDate(tt.text)
		if ok != tt.ok || ok && !got.Equal(want) {
			t.Errorf("%s: %q: %v, %v", tt.about, tt.text, got, ok)
		}
	}
}

// What is read as a date is one for net/http as well, and as long as one: an IMF-fixdate or asctime-date to the byte.
func FuzzDate(f *testing.F) {
	for _, seed := range []string{"Mon, 08 Aug 2050 02:01:18 GMT", "Monday, 08-Aug-50 02:01:18 gmt", "Mon Aug  8 02:01:18 2050", "0", " , ", "Mon, 08 Aug 2050 02:01:18.999 GMT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseDate(text)
		if !ok {
			return
		}
		if std, err := http.ParseTime(strings.ToUpper(text)); err != nil || !std.Equal(got) {
			t.Fatalf("%q is %v, but for net/http %v, %v", text, got, std, err)
		}
		if text[3] == ',' && len(text) != len(http.TimeFormat) || text[3] == ' ' && len(text) != len(time.ANSIC) {
			t.Fatalf("%q is a date", text)
		}
	})
}
