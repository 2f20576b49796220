package httpcache

import (
	"net/http"
	"strings"
	"testing"
)

func TestTraceID(t *testing.T) {
	const id, rest = "0af7651916cd43dd8448eb211c80319c", "-b7ad6b7169203331-01"
	for _, c := range []struct {
		about string
		lines []string
		want  string
	}{
		{"§3.2.2", []string{"00-" + id + rest}, id},
		{"absent", nil, ""},
		{"two of them: neither counts", []string{"00-" + id + rest, "00-" + id + rest}, ""},
		{"version ff is invalid (§3.2.2.1)", []string{"ff-" + id + rest}, ""},
		{"version 00 ends after the flags", []string{"00-" + id + rest + "-x"}, ""},
		{"a later version may say more (§3.2.4)", []string{"cc-" + id + rest + "-x"}, id},
		{"but not run on", []string{"cc-" + id + rest + "x"}, ""},
		{"upper case is invalid (§3.2.2.3)", []string{"00-" + strings.ToUpper(id) + rest}, ""},
		{"all zeros is invalid", []string{"00-" + strings.Repeat("0", 32) + rest}, ""},
		{"parent of zeros is invalid (§3.2.2.4)", []string{"00-" + id + "-0000000000000000-01"}, ""},
		{"not hexadecimal flags", []string{"00-" + id + "-b7ad6b7169203331-0g"}, ""},
		{"short", []string{"00-" + id}, ""},
		{"no dashes", []string{strings.Repeat("0", 55)}, ""},
	} {
		if got := TraceID(http.Header{"Traceparent": c.lines}); got != c.want {
			t.Errorf("%s: %q is of trace %q, want %q", c.about, c.lines, got, c.want)
		}
	}
}

func TestValidRequestID(t *testing.T) {
	for id, want := range map[string]bool{
		"7f3c2a0e-1b2c-4d5e-8f90-a1b2c3d4e5f6": true, "Root=1-67891233-abcdef012345678912345678": true, "a/b+c==": true,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
		"": false, "a b": false, "a\tb": false, "a\r\nSet-Cookie: x": false, `a"b`: false, "a,b": false, "<b>": false, "ü": false, "a;b": false,
	} {
		if ValidRequestID(id) != want {
			t.Errorf("%q: want %v", id, want)
		}
	}
}

func FuzzTraceID(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what")
	f.Fuzz(func(t *testing.T, line string) {
		got := TraceID(http.Header{"Traceparent": {line}})
		if got != "" && (len(got) != 32 || !hexBytes.all(got) || !strings.HasPrefix(line[3:], got)) {
			t.Fatalf("%q gives %q", line, got)
		}
	})
}
