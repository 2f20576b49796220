package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestContentRange(t *testing.T) {
	tests := []struct {
		field string
		want  PartOf
		ok    bool
	}{
		{"bytes 4-9/10", PartOf{Span{4, 9}, 10}, true},
		{"Bytes 0-0/1", PartOf{Span{0, 0}, 1}, true},
		{"bytes 0-4/*", PartOf{}, false},
		{"bytes */10", PartOf{}, false},
		{"bytes 4-10/10", PartOf{}, false}, // RFC 9110 §14.4: invalid
		{"bytes 5-4/10", PartOf{}, false},  // likewise
		{"items 0-4/10", PartOf{}, false},
		{"bytes=0-4/10", PartOf{}, false},
		{"bytes 0-4", PartOf{}, false},
		{"bytes 0-9223372036854775807/9223372036854775808", PartOf{}, false},
		{"", PartOf{}, false},
	}
	for _, tt := range tests {
		got, ok := ParseContentRange(header("Content-Range: " + tt.field))
		if got != tt.want || ok != tt.ok {
			t.Errorf("%q: %v, %v", tt.field, got, ok)
		}
		if ok && got.String() != strings.ToLower(tt.field) {
			t.Errorf("%q is written as %q", tt.field, got)
		}
	}
	if _, ok := ParseContentRange(header("Content-Range: bytes 0-1/2", "Content-Range: bytes 0-1/2")); ok {
		t.Error("two fields are one part")
	}
}

func TestJudgePart(t *testing.T) {
	base := []string{"Date: " + httpDate(0), "Cache-Control: max-age=60", `ETag: "a"`}
	tests := []struct {
		about  string
		status int
		header []string
		length int64
		route  Route
		max    int64
		reason Reason
	}{
		{"a part (RFC 9111 §3.3)", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{}, 0, NoReason},
		{"its length is not known yet", 206, []string{"Content-Range: bytes 0-4/10"}, -1, Route{}, 0, NoReason},
		{"its length is another", 206, []string{"Content-Range: bytes 0-4/10"}, 4, Route{}, 0, Partial},
		{"several parts (RFC 9110 §15.3.7.2)", 206, []string{"Content-Type: multipart/byteranges; boundary=x"}, 5, Route{}, 0, Partial},
		{"of a whole of unknown size", 206, []string{"Content-Range: bytes 0-4/*"}, 5, Route{}, 0, Partial},
		{"in another unit", 206, []string{"Content-Range: items 0-4/10"}, 5, Route{}, 0, Partial},
		{"a 200 is none", 200, []string{"Content-Range: bytes 0-4/10"}, 5, Route{}, 0, RangeRequest},
		{"nor is 416, whatever its lifetime (RFC 9110 §15.5.17)", 416, []string{"Content-Range: bytes */10"}, 5, Route{}, 0, RangeRequest},
		{"what must not be stored", 206, []string{"Content-Range: bytes 0-4/10", "Cache-Control: private"}, 5, Route{}, 0, Private},
		{"a cookie", 206, []string{"Content-Range: bytes 0-4/10", "Set-Cookie: a=b"}, 5, Route{}, 0, SetCookie},
		{"larger than max_object", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{}, 4, TooLarge},
		{"of a whole larger than max_object", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{}, 5, NoReason},
		{"of a whole smaller than min_bytes", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{StoreIf: StoreIf{MinBytes: 11}}, 0, TooSmall},
		{"smaller than min_bytes itself", 206, []string{"Content-Range: bytes 0-4/10"}, 5, Route{StoreIf: StoreIf{MinBytes: 10}}, 0, NoReason},
	}
	for _, tt := range tests {
		f := Fetch{
			Method: "GET", Requested: epoch, Received: epoch, Status: tt.status, Header: header(append(base, tt.header...)...),
			BodyLength: tt.length, MaxObject: tt.max,
		}
		before := f.Header.Clone()
		part, v := tt.route.JudgePart(f)
		if v.Reason != tt.reason || v.Store != (tt.reason == NoReason) || v.Share {
			t.Errorf("%s: %+v", tt.about, v)
		}
		if v.Store && (part != PartOf{Span{0, 4}, 10} || v.Lifetime.Left(epoch) != time.Minute) {
			t.Errorf("%s: %v, %v", tt.about, part, v.Lifetime)
		}
		if !reflect.DeepEqual(before, f.Header) {
			t.Errorf("%s: the header was changed", tt.about)
		}
	}
}

func TestMakePartial(t *testing.T) {
	h := header("Content-Length: 10", `ETag: "a"`, "Content-Type: text/plain", "Content-Digest: d", "Content-Md5: m", "Repr-Digest: r", "Vary: X")
	MakePartial(h, PartOf{Span{4, 9}, 10})
	want := header("Content-Length: 6", "Content-Range: bytes 4-9/10", `ETag: "a"`, "Content-Type: text/plain", "Repr-Digest: r", "Vary: X")
	if !reflect.DeepEqual(h, want) {
		t.Errorf("%v", h)
	}
	if got := WholeHeader(h); got.Get("Content-Range") != "" || got.Get("Content-Length") != "" || got.Get("Etag") != `"a"` {
		t.Errorf("of the whole: %v", got)
	}
}

// FuzzContentRange holds that a part that is understood lies within its whole, and is written as it was read.
func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 4-9/10", "bytes */10", "bytes 0-0/*", "bytes 9223372036854775806-9223372036854775806/9223372036854775807", "bytes -1-2/3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		part, ok := ParseContentRange(header("Content-Range: " + field))
		if !ok {
			return
		}
		if part.First < 0 || part.First > part.Last || part.Last >= part.Size {
			t.Fatalf("%q: %+v", field, part)
		}
		if again, ok := ParseContentRange(header("Content-Range: " + part.String())); !ok || again != part {
			t.Fatalf("%q is written as %q", field, part)
		}
	})
}
