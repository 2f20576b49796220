package httpcache

import (
	"net/http"
	"slices"
	"testing"
)

func TestCompressed(t *testing.T) {
	for _, tt := range []struct {
		about string
		req   http.Header
		want  bool
	}{
		{"accepted (RFC 9110 §12.5.3)", header("Accept-Encoding: gzip, zstd"), true},
		{"not accepted", header("Accept-Encoding: gzip, br"), false},
		{"refused", header("Accept-Encoding: zstd;q=0, *"), false},
		{"absent: allowed, but perhaps not understood", header(), false},
		{"empty", header("Accept-Encoding: "), false},
		{"liked less than none", header("Accept-Encoding: zstd;q=0.2, identity"), false},
		{"a part (RFC 9110 §14.2)", header("Accept-Encoding: zstd", "Range: bytes=0-1"), false},
		{"no-transform (RFC 9111 §5.2.1.6)", header("Accept-Encoding: zstd", "Cache-Control: no-transform"), false},
	} {
		if got := Compressed(tt.req, Zstd); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}

func TestRecodedHeader(t *testing.T) {
	for etag, want := range map[string]string{
		`"a"`: `W/"a"`, `W/"a"`: `W/"a"`, `a`: "", `"a", "b"`: "", // RFC 9110 §8.8.3
	} {
		if got := string(AppendWeakETag(nil, []string{etag})); got != want {
			t.Errorf("weak form of %s: %q, want %q", etag, got, want)
		}
	}
	if got := string(AppendWeakETag(nil, nil)); got != "" {
		t.Errorf("weak form of nothing: %q", got)
	}
	// Either form of the tag finds the copy by If-None-Match, which compares weakly (RFC 9110 §13.1.2).
	for _, tag := range []string{`"a"`, `W/"a"`} {
		if !NotModified(header("If-None-Match: "+tag), "GET", 200, header(`Etag: "a"`), epoch) {
			t.Errorf("%s does not match", tag)
		}
	}
	for vary, want := range map[string][]string{
		"":                       {"", "Accept-Encoding"},
		"Origin":                 {"Origin", "Accept-Encoding"},
		"Origin,accept-encoding": {"Origin,accept-encoding"},
		"*":                      {"*"},
	} {
		h := http.Header{"Vary": {vary}}
		if VaryByCoding(h); !slices.Equal(h["Vary"], want) {
			t.Errorf("Vary %q: %q", vary, h["Vary"])
		}
	}
	h := header("Content-Digest: x", "Repr-Digest: x", "Digest: x", "Content-Md5: x", "Accept-Ranges: bytes", "Etag: x")
	if RemoveDigests(h); len(h) != 1 {
		t.Errorf("left: %v", h)
	}
}
