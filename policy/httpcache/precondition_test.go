package httpcache

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMeetsPreconditions(t *testing.T) {
	tagged := header(`ETag: "a"`, "Last-Modified: "+httpDate(0))
	tests := []struct {
		about  string
		req    http.Header
		stored http.Header
		want   bool
	}{
		{"no condition", header(), tagged, true},
		{"If-Match (RFC 9110 §13.1.1)", header(`If-Match: "a"`), tagged, true},
		{"another tag", header(`If-Match: "b"`), tagged, false},
		{"list", header(`If-Match: "b", "a"`), tagged, true},
		{"list over lines", header(`If-Match: "b"`, `If-Match: "a"`), tagged, true},
		{"star", header("If-Match: *"), header(), true},
		{"strong comparison (§8.8.3.2)", header(`If-Match: W/"a"`), tagged, false},
		{"the copy's tag is weak", header(`If-Match: "a"`), header(`ETag: W/"a"`), false},
		{"malformed", header(`If-Match: "a`), tagged, false},
		{"malformed after a match", header(`If-Match: "a", b`), tagged, false},
		{"no tag stored", header(`If-Match: "a"`), header(), false},
		{"sets If-Unmodified-Since aside (§13.1.4)", header(`If-Match: "a"`, "If-Unmodified-Since: "+httpDate(-time.Hour)), tagged, true},
		{"If-Unmodified-Since of that moment (§13.1.4)", header("If-Unmodified-Since: " + httpDate(0)), tagged, true},
		{"later", header("If-Unmodified-Since: " + httpDate(time.Second)), tagged, true},
		{"earlier", header("If-Unmodified-Since: " + httpDate(-time.Second)), tagged, false},
		{"no date", header("If-Unmodified-Since: x"), tagged, false},
		{"no Last-Modified stored", header("If-Unmodified-Since: " + httpDate(0)), header(`ETag: "a"`), false},
	}
	for _, tt := range tests {
		if got := MeetsPreconditions(tt.req, tt.stored); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
		if got := ForOrigin(tt.req); got != (len(tt.req) > 0) {
			t.Errorf("%s: ForOrigin = %v", tt.about, got)
		}
	}
}

func TestRangeApplies(t *testing.T) {
	modified, sent := "Last-Modified: "+httpDate(-time.Second), "Date: "+httpDate(0)
	tests := []struct {
		about  string
		req    http.Header
		stored http.Header
		want   bool
	}{
		{"no If-Range", header(), header(), true},
		{"the ETag (RFC 9110 §13.1.5)", header(`If-Range: "a"`), header(`ETag: "a"`), true},
		{"another ETag", header(`If-Range: "b"`), header(`ETag: "a"`), false},
		{"strong comparison (§13.1.5)", header(`If-Range: W/"a"`), header(`ETag: W/"a"`), false},
		{"the copy's is weak", header(`If-Range: "a"`), header(`ETag: W/"a"`), false},
		{"no ETag stored", header(`If-Range: "a"`), header(modified, sent), false},
		{"a list is malformed", header(`If-Range: "a", "b"`), header(`ETag: "a"`), false},
		{"star means nothing here", header("If-Range: *"), header(`ETag: "a"`), false},
		{"the date, strong (§8.8.2.2)", header("If-Range: " + httpDate(-time.Second)), header(modified, sent), true},
		{"exactly the date (§13.1.5)", header("If-Range: " + httpDate(0)), header(modified, sent), false},
		{"the date, weak: changed in the second it was sent", header("If-Range: " + httpDate(0)), header("Last-Modified: "+httpDate(0), sent), false},
		{"no Date to tell by", header("If-Range: " + httpDate(-time.Second)), header(modified), false},
		{"two fields", header(`If-Range: "a"`, `If-Range: "a"`), header(`ETag: "a"`), false},
		{"rubbish", header("If-Range: x"), header(`ETag: "a"`, modified, sent), false},
	}
	for _, tt := range tests {
		if got := RangeApplies(tt.req, tt.stored); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}

func TestCombinable(t *testing.T) {
	modified, sent := "Last-Modified: "+httpDate(-time.Second), "Date: "+httpDate(0)
	tests := []struct {
		about     string
		a, b      http.Header
		validator string // of a
		want      bool
	}{
		{"the same strong ETag (RFC 9111 §3.4)", header(`ETag: "a"`), header(`ETag: "a"`, "X: y"), `"a"`, true},
		{"another", header(`ETag: "a"`), header(`ETag: "b"`), `"a"`, false},
		{"weak", header(`ETag: W/"a"`), header(`ETag: W/"a"`), "", false},
		{"none", header(), header(), "", false},
		{"only one has it", header(`ETag: "a"`), header(), `"a"`, false},
		{"the same strong date", header(modified, sent), header(modified, "Date: "+httpDate(time.Hour)), httpDate(-time.Second), true},
		{"a date that is not strong", header("Last-Modified: "+httpDate(0), sent), header("Last-Modified: "+httpDate(0), sent), "", false},
		{"a weak ETag beside the date", header(`ETag: W/"a"`, modified, sent), header(`ETag: W/"a"`, modified, sent), "", false},
		{"coded differently", header(`ETag: "a"`), header(`ETag: "a"`, "Content-Encoding: gzip"), `"a"`, false},
	}
	for _, tt := range tests {
		if got := Combinable(tt.a, tt.b); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
		if got := StrongValidator(tt.a); got != tt.validator {
			t.Errorf("%s: validator %q", tt.about, got)
		}
	}
}

// Only the very validator makes a part, or a write-like read, go ahead (RFC 9110 §13.1.1, §13.1.5).
func FuzzPreconditions(f *testing.F) {
	for _, seed := range []string{`"a"`, `W/"a"`, `"b", "a"`, "*", `"a`, "a", httpDate(0), httpDate(time.Second), `"a" "a"`, ""} {
		f.Add(seed)
	}
	strong := header(`ETag: "a"`, "Last-Modified: "+httpDate(0), "Date: "+httpDate(time.Minute))
	weak := header(`ETag: W/"a"`)
	f.Fuzz(func(t *testing.T, line string) {
		if RangeApplies(http.Header{"If-Range": {line}}, strong) {
			date, dated := headerTime([]string{line})
			if TrimOWS(line) != `"a"` && !(dated && date.Equal(epoch)) {
				t.Fatalf("If-Range: %q applies", line)
			}
		}
		if RangeApplies(http.Header{"If-Range": {line}}, weak) {
			t.Fatalf("If-Range: %q applies to a weak validator", line)
		}
		if MeetsPreconditions(http.Header{"If-Match": {line}}, weak) && TrimOWS(line) != "*" {
			t.Fatalf("If-Match: %q matches a weak validator", line)
		}
		if MeetsPreconditions(http.Header{"If-Match": {line}}, strong) && TrimOWS(line) != "*" && !strings.Contains(line, `"a"`) {
			t.Fatalf("If-Match: %q matches", line)
		}
	})
}
