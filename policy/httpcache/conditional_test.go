package httpcache

import (
	"net/http"
	"reflect"
	"testing"
	"time"
)

func TestNotModified(t *testing.T) {
	tagged := header(`ETag: "a"`, "Last-Modified: "+httpDate(0))
	tests := []struct {
		about  string
		method string
		status int
		stored http.Header
		req    http.Header
		want   bool
	}{
		{"no condition", "GET", 200, tagged, header(), false},
		{"If-None-Match (RFC 9110 §13.1.2)", "GET", 200, tagged, header(`If-None-Match: "a"`), true},
		{"HEAD", "HEAD", 200, tagged, header(`If-None-Match: "a"`), true},
		{"other methods (§13.1.2)", "POST", 200, tagged, header(`If-None-Match: "a"`), false},
		{"only for a 200 (§13.2.1)", "GET", 404, tagged, header(`If-None-Match: "a"`), false},
		{"another tag", "GET", 200, tagged, header(`If-None-Match: "b"`), false},
		{"list", "GET", 200, tagged, header(`If-None-Match: "b" , W/"c","a"`), true},
		{"list over lines", "GET", 200, tagged, header(`If-None-Match: "b"`, `If-None-Match: "a"`), true},
		{"comma in a tag", "GET", 200, tagged, header(`If-None-Match: "x,"a","y"`), false},
		{"comma in the copy's tag", "GET", 200, header(`ETag: "a,b"`), header(`If-None-Match: "x", "a,b"`), true},
		{"weak comparison (§8.8.3.2)", "GET", 200, tagged, header(`If-None-Match: W/"a"`), true},
		{"weak comparison, the other way", "GET", 200, header(`ETag: W/"a"`), header(`If-None-Match: "a"`), true},
		{"w/ is not W/ (§8.8.3)", "GET", 200, tagged, header(`If-None-Match: w/"a"`), false},
		{"star", "GET", 200, header(), header(`If-None-Match: *`), true},
		{"star in a list is malformed", "GET", 200, tagged, header(`If-None-Match: "a", *`), false},
		{"unquoted", "GET", 200, header("ETag: a"), header("If-None-Match: a"), true},
		{"unquoted, in a list", "GET", 200, header("ETag: W/a"), header(`If-None-Match: "b", W/a`), true},
		{"unquoted, in another case", "GET", 200, header("ETag: a"), header("If-None-Match: A"), false},
		{"unquoted, and quoted in the question", "GET", 200, header("ETag: a"), header(`If-None-Match: "a"`), false},
		{"unquoted in the question only", "GET", 200, tagged, header("If-None-Match: a"), false},
		{"unquoted, as a list", "GET", 200, header("ETag: a, b"), header("If-None-Match: a, b"), false},
		{"empty", "GET", 200, header("ETag: "), header("If-None-Match: "), false},
		{"quote that never ends", "GET", 200, tagged, header(`If-None-Match: "a", "b`), false},
		{"space in a tag (§8.8.3)", "GET", 200, header(`ETag: "a b"`), header(`If-None-Match: "a b"`), true},
		{"no ETag stored", "GET", 200, header(), header(`If-None-Match: "a"`), false},
		{"sets If-Modified-Since aside (§13.1.3)", "GET", 200, tagged, header(`If-None-Match: "b"`, "If-Modified-Since: "+httpDate(0)), false},
		{"sets it aside even if malformed", "GET", 200, tagged, header(`If-None-Match: b`, "If-Modified-Since: "+httpDate(0)), false},

		{"If-Modified-Since of that moment (§13.1.3)", "GET", 200, tagged, header("If-Modified-Since: " + httpDate(0)), true},
		{"later", "GET", 200, tagged, header("If-Modified-Since: " + httpDate(time.Second)), true},
		{"earlier", "GET", 200, tagged, header("If-Modified-Since: " + httpDate(-time.Second)), false},
		{"no date", "GET", 200, tagged, header("If-Modified-Since: tomorrow"), false},
		{"two dates (§13.1.3)", "GET", 200, tagged, header("If-Modified-Since: "+httpDate(0), "If-Modified-Since: "+httpDate(0)), false},
		{"by Date (RFC 9111 §4.3.2)", "GET", 200, header("Date: " + httpDate(-time.Minute)), header("If-Modified-Since: " + httpDate(-time.Minute)), true},
		{"by when it was received (RFC 9111 §4.3.2)", "GET", 200, header(), header("If-Modified-Since: " + httpDate(0)), true},
		{"before it was received", "GET", 200, header(), header("If-Modified-Since: " + httpDate(-time.Second)), false},
		{"If-Match may be ignored (§13.1.1)", "GET", 200, tagged, header(`If-Match: "b"`), false},
	}
	for _, tt := range tests {
		if got := NotModified(tt.req, tt.method, tt.status, tt.stored, epoch); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}

func TestAddValidators(t *testing.T) {
	client := []string{`If-None-Match: "client"`, `If-Match: "m"`, "If-Unmodified-Since: x", "If-Range: x", "Accept: a"}
	tests := []struct {
		about  string
		stored http.Header
		want   http.Header
		ok     bool
	}{
		{"both (RFC 9111 §4.3.1)", header(`ETag: W/"a"`, "Last-Modified: "+httpDate(0)),
			header("Accept: a", `If-None-Match: W/"a"`, "If-Modified-Since: "+httpDate(0)), true},
		{"only those that are valid", header("ETag: *", "Last-Modified: x"), header("Accept: a"), false},
		{"a tag that no field may hold", header("ETag: a\x01b"), header("Accept: a"), false},
		{"a tag without quotes", header("ETag: a", "Last-Modified: x"), header("Accept: a", "If-None-Match: a"), true},
		{"two tags are none", header(`ETag: "a"`, `ETag: "b"`), header("Accept: a"), false},
	}
	for _, tt := range tests {
		h := header(client...)
		if ok := AddValidators(h, tt.stored); ok != tt.ok || !reflect.DeepEqual(h, tt.want) {
			t.Errorf("%s: %v, %v", tt.about, ok, h)
		}
		if HasValidator(tt.stored) != tt.ok {
			t.Errorf("%s: hasValidator = %v", tt.about, !tt.ok)
		}
	}
}

func TestNotModifiedHeader(t *testing.T) {
	stored := header("Content-Location: /a", "Date: d", `ETag: "a"`, "Vary: Accept", "Cache-Control: max-age=1", "Expires: e",
		"Access-Control-Allow-Origin: *", "Last-Modified: l", "Content-Type: text/html", "Content-Length: 5", "Content-Encoding: gzip")
	want := header("Content-Location: /a", "Date: d", `ETag: "a"`, "Vary: Accept", "Cache-Control: max-age=1", "Expires: e",
		"Access-Control-Allow-Origin: *")
	if got := NotModifiedHeader(stored); !reflect.DeepEqual(got, want) {
		t.Errorf("RFC 9110 §15.4.5: %v", got)
	}
	if got := NotModifiedHeader(header("Last-Modified: l")); len(got["Last-Modified"]) != 1 {
		t.Error("Last-Modified is the only validator, and gone")
	}
	if len(stored["Content-Type"]) != 1 {
		t.Error("the stored header was changed")
	}
	for _, stored := range []http.Header{stored, header("Last-Modified: l")} {
		kept := NotModifiedHeader(stored)
		for name := range stored {
			if got := InNotModified(name, stored["Etag"] != nil); got != (kept[name] != nil) {
				t.Errorf("%s is kept: %v", name, got)
			}
		}
	}
}

func TestMergeNotModified(t *testing.T) {
	stored := header("A: stored", "B: stored", "Content-Type: text/html", "Content-Length: 5", "Content-Encoding: gzip",
		`ETag: "a"`, "Date: old", "Age: 7", "Cache-Status: up; hit", "Cache-Control: max-age=1")
	tests := []struct {
		about   string
		from304 http.Header
		want    http.Header
	}{
		{"RFC 9111 §3.2", header("A: new", "A: newer", "C: new", "Date: new", "Age: 1", "Cache-Control: no-store", "Set-Cookie: s=1",
			"Content-Type: text/plain", "Content-Length: 0", "Content-Encoding: br", "Content-Range: x", "Connection: X, close", "X: 1", "Keep-Alive: 1"),
			header("A: new", "A: newer", "B: stored", "C: new", "Date: new", "Age: 1", "Cache-Control: no-store", "Set-Cookie: s=1",
				"Content-Type: text/plain", "Content-Length: 5", "Content-Encoding: gzip", `ETag: "a"`)},
		{"what describes the earlier exchange goes (RFC 9111 §4.2.3)", header(),
			header("A: stored", "B: stored", "Content-Type: text/html", "Content-Length: 5", "Content-Encoding: gzip", `ETag: "a"`, "Cache-Control: max-age=1")},
		{"a weak tag does not replace the strong one of the bytes", header(`ETag: W/"a"`),
			header("A: stored", "B: stored", "Content-Type: text/html", "Content-Length: 5", "Content-Encoding: gzip", `ETag: "a"`, "Cache-Control: max-age=1")},
	}
	before := stored.Clone()
	for _, tt := range tests {
		if got := MergeNotModified(stored, tt.from304); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %v\nwant %v", tt.about, got, tt.want)
		}
	}
	if !reflect.DeepEqual(stored, before) {
		t.Error("the stored header was changed")
	}
	if got := MergeNotModified(header(`ETag: W/"a"`), header(`ETag: W/"b"`)); got.Get("ETag") != `W/"b"` {
		t.Errorf("ETag = %s", got.Get("ETag"))
	}
}

func TestConfirmsStored(t *testing.T) {
	tests := []struct {
		about           string
		stored, from304 http.Header
		want            bool
	}{
		{"same strong tag (RFC 9111 §4.3.4)", header(`ETag: "a"`), header(`ETag: "a"`), true},
		{"another strong tag", header(`ETag: "a"`), header(`ETag: "b"`), false},
		{"strong against weak (RFC 9110 §8.8.3.2)", header(`ETag: W/"a"`), header(`ETag: "a"`), false},
		{"weak, matching weakly", header(`ETag: "a"`), header(`ETag: W/"a"`), true},
		{"weak, another", header(`ETag: W/"a"`), header(`ETag: W/"b"`), false},
		{"a tag where none is stored", header("Last-Modified: " + httpDate(0)), header(`ETag: "a"`), false},
		{"a tag that is none", header(`ETag: "a"`), header(`ETag: a`), false},
		{"a tag without quotes", header(`ETag: W/a`), header(`ETag: W/a`), true},
		{"another without quotes", header(`ETag: a`), header(`ETag: b`), false},
		{"a tag that is none, for one that is", header(`ETag: a`), header(`ETag: "a"`), false},
		{"two tags", header(`ETag: "a"`), header(`ETag: "a"`, `ETag: "b"`), false},
		{"the tag decides, not the date", header(`ETag: "a"`, "Last-Modified: "+httpDate(0)), header(`ETag: "a"`, "Last-Modified: "+httpDate(time.Hour)), true},
		{"same Last-Modified", header("Last-Modified: " + httpDate(0)), header("Last-Modified: " + httpDate(0)), true},
		{"another Last-Modified", header("Last-Modified: " + httpDate(0)), header("Last-Modified: " + httpDate(time.Hour)), false},
		{"Last-Modified where none is stored", header(`ETag: "a"`), header("Last-Modified: " + httpDate(0)), false},
		{"no validator: the answer to what was asked", header(`ETag: "a"`), header(), true},
	}
	for _, tt := range tests {
		if got := ConfirmsStored(tt.stored, tt.from304); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}

func FuzzIfNoneMatch(f *testing.F) {
	for _, seed := range []string{`"a"`, `W/"a", "b"`, "*", `"a`, `a`, `"",`, `"a""b"`, ",,", `"a,b"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		stored := header(`ETag: "a"`)
		match := matchesAny([]string{line}, stored["Etag"])
		if match && TrimOWS(line) != "*" && !matchesAny([]string{`"b", ` + line}, stored["Etag"]) {
			t.Fatalf("%q matches alone but not in a list", line)
		}
		if tag, ok := fieldTag([]string{line}); ok && !matchesAny([]string{line}, []string{line}) {
			t.Fatalf("%q, read as %v, does not match itself", line, tag)
		}
	})
}
