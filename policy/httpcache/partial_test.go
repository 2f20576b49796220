package httpcache

import (
	"reflect"
	"strings"
	"testing"
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
