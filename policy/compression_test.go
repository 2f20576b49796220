package policy

import (
	"net/http"
	"slices"
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestCompresses(t *testing.T) {
	const json = "Content-Type: application/json"
	for _, tt := range []struct {
		about  string
		coding httpcache.Coding
		status int
		h      http.Header
		want   bool
	}{
		{"JSON", httpcache.Zstd, 200, header(json), true},
		{"a parameter, in any case", httpcache.Zstd, 200, header("Content-Type: Text/HTML; charset=utf-8"), true},
		{"a structured suffix (RFC 6839)", httpcache.Gzip, 200, header("Content-Type: application/problem+json"), true},
		{"not found", httpcache.Zstd, 404, header(json), true},
		{"a route that does not", httpcache.Identity, 200, header(json), false},
		{"a coding already (RFC 9110 §8.4)", httpcache.Zstd, 200, header(json, "Content-Encoding: gzip"), false},
		{"no-transform (RFC 9110 §7.7, RFC 9111 §5.2.2.6)", httpcache.Zstd, 200, header(json, "Cache-Control: max-age=5, No-Transform"), false},
		{"a part (RFC 9110 §15.3.7)", httpcache.Zstd, 206, header(json), false},
		{"Content-Range", httpcache.Zstd, 200, header(json, "Content-Range: bytes 0-1/2"), false},
		{"no content (§15.3.5)", httpcache.Zstd, 204, header(json), false},
		{"reset content (§15.3.6)", httpcache.Zstd, 205, header(json), false},
		{"not modified (§15.4.5)", httpcache.Zstd, 304, header(json), false},
		{"compressed by its type", httpcache.Zstd, 200, header("Content-Type: image/jpeg"), false},
		{"an archive", httpcache.Zstd, 200, header("Content-Type: application/zip"), false},
		{"a stream", httpcache.Zstd, 200, header("Content-Type: text/event-stream"), false},
		{"no type", httpcache.Zstd, 200, header(), false},
		{"two types", httpcache.Zstd, 200, header(json, "Content-Type: image/png"), false},
	} {
		r := &Route{Compression: tt.coding}
		if got := r.Compresses(tt.status, tt.h); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
}

// What codings select (RFC 9111 §4.1).
func TestSelectedByCoding(t *testing.T) {
	through := func(f Fetch) Fetch { f.Through = true; return f }
	const fresh = "Cache-Control: max-age=60"
	for _, tt := range []struct {
		about string
		route Route
		f     Fetch
		want  []string
	}{
		{"what Vary says", Route{}, fetched(fresh, "Vary: Origin"), []string{"Origin"}},
		{"a coding without Vary is not for all", Route{}, fetched(fresh, "Content-Encoding: gzip"), []string{"Accept-Encoding"}},
		{"and is not said twice", Route{}, fetched(fresh, "Content-Encoding: gzip", "Vary: Accept-Encoding"), []string{"Accept-Encoding"}},
		{"among others", Route{}, fetched(fresh, "Content-Encoding: br", "Vary: Origin, Accept"), []string{"Accept", "Accept-Encoding", "Origin"}},
		{"identity is none", Route{}, fetched(fresh, "Content-Encoding: identity"), nil},
		{"compressed here: the origin was not told", Route{Compression: httpcache.Zstd}, fetched(fresh, "Vary: Accept, Accept-Encoding, Origin"), []string{"Accept", "Origin"}},
		{"compressed here, but it was told", Route{Compression: httpcache.Zstd}, through(fetched(fresh, "Vary: Accept-Encoding")), []string{"Accept-Encoding"}},
		{"compressed here, told, and coded", Route{Compression: httpcache.Zstd}, through(fetched(fresh, "Content-Encoding: gzip")), []string{"Accept-Encoding"}},
	} {
		v := tt.route.Judge(tt.f)
		if !v.Store || !slices.Equal(v.Vary, tt.want) {
			t.Errorf("%s: %q, stored %v", tt.about, v.Vary, v.Store)
		}
	}
	// An answer in a coding that no fill asked for is for the one who gets it.
	for _, status := range []int{200, 503} {
		f := fetched(fresh, "Content-Encoding: gzip", "Vary: Accept-Encoding")
		f.Status = status
		if v := (&Route{Compression: httpcache.Zstd}).Judge(f); v.Share || v.Store || v.Reason != codingUnasked {
			t.Errorf("coded although compressed here, %d: %+v", status, v)
		}
	}
	// An error that those who wait share, although it is not stored, may come with a coding as well.
	f := fetched("Content-Encoding: gzip")
	f.Status = 503
	if v := (&Route{}).Judge(f); !v.Share || v.Store || !slices.Equal(v.Vary, []string{"Accept-Encoding"}) {
		t.Errorf("coded error: %+v", v)
	}
}

// Who accepts no answer without a coding gets the origin's own, where fills ask for answers without one.
func TestPlanCodingRefused(t *testing.T) {
	for field, want := range map[string]Reason{"identity;q=0, zstd": codingRefused, "zstd, *;q=0": codingRefused, "zstd": NoReason, "": NoReason} {
		r := &Route{Caches: true, Compression: httpcache.Zstd}
		_, reason := PlanRequest(r, On, Asked{Request: &http.Request{Method: "GET", Header: header("Accept-Encoding: " + field)}}, nil)
		if reason != want {
			t.Errorf("%q: %v, want %v", field, reason, want)
		}
		r.Compression = httpcache.Identity
		if _, reason := PlanRequest(r, On, Asked{Request: &http.Request{Method: "GET", Header: header("Accept-Encoding: " + field)}}, nil); reason != NoReason {
			t.Errorf("%q without compression: %v", field, reason)
		}
	}
}

func TestUnaccepted(t *testing.T) {
	tests := []struct {
		accepting []string
		coding    string
		want      bool
	}{
		{nil, "gzip", false}, // absent: any (RFC 9110 §12.5.3)
		{[]string{""}, "gzip", true},
		{[]string{"identity"}, "gzip", true},
		{[]string{"gzip;q=0"}, "x-gzip", true},
		{[]string{"gzip"}, "gzip", false},
		{[]string{"gzip"}, "GZIP, identity", false},
		{[]string{"gzip"}, "gzip, br", true},
		{[]string{"*;q=0, zstd"}, "zstd", false},
		{[]string{"identity"}, "aws-chunked", false}, // not told apart
		{[]string{"identity"}, "identity", false},
		{[]string{"identity"}, "", false},
	}
	for _, tt := range tests {
		h := header("Content-Encoding: " + tt.coding)
		if got := httpcache.Unaccepted(tt.accepting, h); got != tt.want {
			t.Errorf("%q for %q: %v", tt.coding, tt.accepting, got)
		}
		f := fetched("Cache-Control: max-age=60", "Content-Encoding: "+tt.coding)
		f.Accepting = tt.accepting
		if v := (&Route{}).Judge(f); v.Store == tt.want || tt.want && (v.Share || v.Reason != codingUnasked) {
			t.Errorf("%q for %q: %+v", tt.coding, tt.accepting, v)
		}
	}
}

// How a field is spelled makes no difference to what is in an accepted coding.
func FuzzUnaccepted(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0", "gzip, br")
	f.Add("", "x-gzip")
	f.Add("identity;q=0", "zstd,")
	f.Fuzz(func(t *testing.T, accepting, coding string) {
		h := http.Header{"Content-Encoding": {coding}}
		got := httpcache.Unaccepted([]string{accepting}, h)
		if other := httpcache.Unaccepted([]string{httpcache.CanonicalEncoding([]string{accepting})}, h); other != got {
			t.Fatalf("%q for %q: %v, in its canonical spelling %v", coding, accepting, got, other)
		}
		if got && !httpcache.Coded(h) {
			t.Fatalf("%q is no coding", coding)
		}
	})
}
