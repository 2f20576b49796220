package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
	"cacheproxy/store/coding"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// product is a body worth compressing.
var product = `{"products":[` + strings.Repeat(`{"id":4711,"title":"Kettle","price":{"currency":"EUR","amount_cents":4999}},`, 60) + `{}]}`

// decoded is a body as its reader sees it.
func decoded(t *testing.T, a answer) string {
	t.Helper()
	var r io.Reader = strings.NewReader(a.body)
	var err error
	switch a.header.Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// shown is an answer in one line: what depends on the coding, and where it came from.
func shown(a answer) string {
	length := "length wrong"
	if a.header.Get("Content-Length") == fmt.Sprint(len(a.body)) {
		length = "length right"
	}
	digest := "no digest"
	if a.header.Get("Repr-Digest") != "" {
		digest = "digest"
	}
	how, _, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Cache-Status"), "cacheproxy; "), "=")
	how, _, _ = strings.Cut(how, ";")
	return fmt.Sprintf("%d %s coding=%q etag=%s vary=%q %s %s", a.status, how, a.header.Get("Content-Encoding"), a.header.Get("Etag"),
		strings.Join(a.header["Vary"], ","), length, digest)
}

// kept waits until the copy is stored, without reading it through the proxy.
func kept(t *testing.T, r *rig, entries int) {
	t.Helper()
	waitFor(t, func() bool { return r.store.Memory().Entries() >= entries })
}

func serveProduct(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("ETag", `"v1"`)
	h.Set("Repr-Digest", "sha-256=:AAAA:")
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", fmt.Sprint(len(product)))
	io.WriteString(w, product)
}

// One copy answers every client in a form that it accepts, and nothing else (RFC 9110 §8.4, §8.8.3, §12.5.3).
func TestCompressedCopy(t *testing.T) {
	for _, held := range []httpcache.Coding{httpcache.Zstd, httpcache.Gzip, httpcache.Brotli} {
		t.Run(held.String(), func(t *testing.T) {
			var asked atomic.Pointer[http.Request]
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) { asked.Store(req); serveProduct(w, req) }, rigOptions{},
				routeFor(t, "product", func(r *policy.Route) { r.Compression = held }, "GET /p"))
			plain := `coding="" etag="v1" vary="Accept-Encoding" length right digest`
			coded := fmt.Sprintf(`coding=%q etag=W/"v1" vary="Accept-Encoding" length right no digest`, held)
			if got := r.do("GET", "/p", "Accept-Encoding", "gzip, br, zstd"); shown(got) != "200 fwd "+plain || got.body != product {
				t.Fatalf("miss: %s", shown(got))
			}
			if got := asked.Load().Header["Accept-Encoding"]; len(got) != 1 || got[0] != "identity" {
				t.Errorf("the origin was asked for %q", got)
			}
			kept(t, r, 1)
			for accept, want := range map[string]string{
				"gzip, deflate, br, zstd": coded, held.String(): coded, held.String() + ";q=0.1": coded, "*": coded,
				"": plain, "identity": plain, held.String() + ";q=0, *": plain, "deflate": plain, held.String() + ";q=x": plain,
				held.String() + ";q=0.1, identity": plain,
			} {
				got := r.do("GET", "/p", "Accept-Encoding", accept)
				if shown(got) != "200 hit "+want || decoded(t, got) != product {
					t.Errorf("%q: %s, want %s", accept, shown(got), want)
				}
				head := r.do("HEAD", "/p", "Accept-Encoding", accept)
				if got.header.Get("Content-Length") != head.header.Get("Content-Length") || got.header.Get("Etag") != head.header.Get("Etag") || head.body != "" {
					t.Errorf("HEAD of %q: %v", accept, head)
				}
			}
			if got := r.do("GET", "/p"); shown(got) != "200 hit "+plain || got.body != product {
				t.Errorf("no Accept-Encoding: %s", shown(got))
			}
			if got := r.do("GET", "/p", "Accept-Encoding", held.String(), "Cache-Control", "no-transform"); shown(got) != "200 hit "+plain {
				t.Errorf("no-transform: %s", shown(got))
			}
			e, err := r.proxy.Explain("GET", r.front.URL+"/p", http.Header{})
			if err != nil || e.Copy == nil || e.Copy.Bytes != len(product) || !strings.HasPrefix(e.Copy.Held, held.String()) {
				t.Errorf("explained: %+v, %v", e.Copy, err)
			}
		})
	}
}

// A client that has either form of the answer does not get it again (RFC 9110 §13.1.2, §15.4.5).
func TestCompressedNotModified(t *testing.T) {
	r := newRig(t, serveProduct, rigOptions{}, routeFor(t, "product", func(r *policy.Route) { r.Compression = httpcache.Zstd }, "GET /p"))
	r.do("GET", "/p")
	kept(t, r, 1)
	for accept, want := range map[string]string{"zstd": `W/"v1"`, "gzip": `"v1"`} {
		for _, tag := range []string{`"v1"`, `W/"v1"`} {
			got := r.do("GET", "/p", "Accept-Encoding", accept, "If-None-Match", tag)
			if got.status != 304 || got.header.Get("Etag") != want || got.header.Get("Vary") != "Accept-Encoding" || got.header.Get("Content-Encoding") != "" {
				t.Errorf("%s and %s: %d %v", accept, tag, got.status, got.header)
			}
		}
		if got := r.do("GET", "/p", "Accept-Encoding", accept, "If-None-Match", `"v2"`); got.status != 200 || decoded(t, got) != product {
			t.Errorf("%s and another tag: %d %v", accept, got.status, got.header)
		}
	}
}

// What must not or need not be compressed is not; where it never would be, Vary is the origin's.
func TestNotCompressed(t *testing.T) {
	short := `{"id":1}`
	noise := make([]byte, 4<<10)
	for i := range noise {
		noise[i] = byte(i * i * 7919 >> 5)
	}
	for about, c := range map[string]struct {
		header, body, vary string
	}{
		"too short":      {"Content-Type: application/json", short, "Accept-Encoding"},
		"no-transform":   {"Cache-Control: max-age=60, no-transform", product, ""},
		"a type":         {"Content-Type: image/png", product, ""},
		"coded by other": {"Content-Encoding: gzip", string(coding.Encode(httpcache.Gzip, []byte(product))), ""},
	} {
		t.Run(about, func(t *testing.T) {
			name, value, _ := strings.Cut(c.header, ": ")
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("ETag", `"v1"`)
				w.Header().Set(name, value)
				io.WriteString(w, c.body)
			}, rigOptions{}, routeFor(t, "product", func(r *policy.Route) { r.Compression = httpcache.Zstd }, "GET /p"))
			for range 2 {
				got := r.do("GET", "/p", "Accept-Encoding", "gzip, zstd")
				if got.body != c.body || got.header.Get("Etag") != `"v1"` || got.header.Get("Vary") != c.vary || got.header.Get(name) != value {
					t.Errorf("%d bytes, %v", len(got.body), got.header)
				}
				kept(t, r, 1)
			}
		})
	}
}

// A 304 of the origin renews the copy as it is held; the origin is asked with its own validator. One that forbids to
// transform the answer has it unpacked.
func TestCompressedRevalidated(t *testing.T) {
	var noTransform atomic.Bool
	var asked atomic.Value
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "max-age=0, stale-if-error=60")
		if noTransform.Load() {
			w.Header().Set("Cache-Control", "max-age=0, no-transform")
		}
		if tag := req.Header.Get("If-None-Match"); tag != "" {
			asked.Store(tag)
			w.Header().Set("ETag", tag)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		serveProduct(w, req)
	}, rigOptions{}, routeFor(t, "product", func(r *policy.Route) { r.Compression = httpcache.Zstd }, "GET /p"))
	r.do("GET", "/p")
	kept(t, r, 1)
	for accept, want := range map[string]string{"zstd": "zstd", "gzip": ""} {
		got := r.do("GET", "/p", "Accept-Encoding", accept)
		if got.header.Get("Content-Encoding") != want || decoded(t, got) != product || asked.Load() != `"v1"` || !strings.Contains(got.header.Get("Cache-Status"), "fwd-status=304") {
			t.Errorf("%s: %d bytes, %v, asked with %v", accept, len(got.body), got.header, asked.Load())
		}
	}
	noTransform.Store(true)
	for range 2 {
		got := r.do("GET", "/p", "Accept-Encoding", "zstd")
		if got.body != product || got.header.Get("Content-Encoding") != "" || got.header.Get("Etag") != `"v1"` {
			t.Errorf("no-transform: %d bytes, %v", len(got.body), got.header)
		}
	}
}

// Spellings of Accept-Encoding share copies, and none gets a coding that it does not accept, although the origin forgets to
// say that the coding depends on the request.
func TestVariantsByCoding(t *testing.T) {
	for _, vary := range []string{"Accept-Encoding", ""} {
		t.Run("Vary "+vary, func(t *testing.T) {
			var fills atomic.Int32
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				fills.Add(1)
				w.Header().Set("Content-Type", "application/json")
				if vary != "" {
					w.Header().Set("Vary", vary)
				}
				// The first coding that it knows, as simple origins choose.
				for name := range strings.SplitSeq(req.Header.Get("Accept-Encoding"), ", ") {
					if c := map[string]httpcache.Coding{"gzip": httpcache.Gzip, "br": httpcache.Brotli}[name]; c != httpcache.Identity {
						w.Header().Set("Content-Encoding", name)
						w.Write(coding.Encode(c, []byte(product)))
						return
					}
				}
				io.WriteString(w, product)
			}, rigOptions{}, routeFor(t, "product", nil, "GET /p"))
			for i, c := range []struct {
				accept string
				coding string
				fills  int32
			}{
				{"gzip, deflate, br", "gzip", 1}, {"br, gzip;q=0.8", "gzip", 1}, {"gzip,br;q=0.1,compress", "gzip", 1},
				{"br", "br", 2}, {"br, gzip;q=0", "br", 2}, {"br;q=1.0", "br", 2},
				{"identity", "", 3}, {"", "", 3}, {"deflate", "", 3}, {"gzip;q=0", "", 3},
			} {
				got := r.do("GET", "/p", "Accept-Encoding", c.accept)
				if vary == "" && c.fills == 3 {
					c.coding = "" // an answer without a coding and without Vary is one for all
				}
				if got.header.Get("Content-Encoding") != c.coding || decoded(t, got) != product || fills.Load() != c.fills {
					t.Errorf("%d: %q: coding %q after %d fills, want %q after %d", i, c.accept, got.header.Get("Content-Encoding"), fills.Load(), c.coding, c.fills)
				}
				waitFor(t, func() bool {
					again := r.do("GET", "/p", "Accept-Encoding", c.accept)
					return strings.Contains(again.header.Get("Cache-Status"), "; hit") && again.header.Get("Content-Encoding") == c.coding
				})
			}
		})
	}
}

// Who accepts nothing without a coding, and what is not stored anyway, is between the client and the origin.
func TestCompressionSteppedAside(t *testing.T) {
	var asked atomic.Value
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Store(strings.Join(req.Header["Accept-Encoding"], "|"))
		switch req.URL.Path {
		case "/private":
			w.Header().Set("Cache-Control", "private")
		case "/coded":
			w.Header().Set("Content-Encoding", "x")
		}
		serveProduct(w, req)
	}, rigOptions{}, routeFor(t, "product", func(r *policy.Route) { r.Compression = httpcache.Zstd }, "GET /{p}"))
	if got := r.do("GET", "/p", "Accept-Encoding", "zstd, *;q=0"); asked.Load() != "zstd, *;q=0" || !strings.Contains(got.header.Get("Cache-Status"), "detail=coding-refused") {
		t.Errorf("identity refused: the origin was asked for %v, %v", asked.Load(), got.header)
	}
	for i, path := range []string{"/private", "/coded"} {
		r.do("GET", path)
		kept(t, r, i+1) // the mark
		got := r.do("GET", path, "Accept-Encoding", "br, gzip;q=0.1")
		if asked.Load() != "br, gzip;q=0.1" || !strings.Contains(got.header.Get("Cache-Status"), "detail=hit-for-miss") {
			t.Errorf("%s: the origin was asked for %v, %v", path, asked.Load(), got.header)
		}
	}
}

// A copy that cannot be unpacked never passes for a whole answer, and goes away.
func TestCompressedCopyDamaged(t *testing.T) {
	r := newRig(t, serveProduct, rigOptions{}, routeFor(t, "product", func(r *policy.Route) { r.Compression = httpcache.Zstd; r.Host.Literal = "shop" }, "GET /p"))
	target, err := httpcache.ParseTarget("http", "", "/p")
	if err != nil {
		t.Fatal(err)
	}
	route := r.proxy.config().byName["product"]
	key := string(route.Prefers.AppendTo(route.AppendKey(nil, target, "", "", nil), nil))
	damaged := store.NewCoded(200, http.Header{}, []byte(product), httpcache.Zstd, bytes.Repeat([]byte("x"), 100))
	damaged.SetLife(httpcache.Lifetime{Received: time.Now(), Date: time.Now(), Fresh: time.Hour, Keep: time.Hour})
	damaged.Stamp.Set(r.ledger.Token())
	r.store.Put(key, nil, damaged)
	if got, err := r.try("GET", "/p", nil, "Range", "bytes=0-9"); err == nil && got.status == 206 {
		t.Errorf("the client took it for a part: %q, %v", got.body, got.header)
	}
	r.store.Put(key, nil, damaged)
	damaged.Release()
	if got, err := r.try("GET", "/p", nil); err == nil {
		t.Errorf("the client took it for whole: %d bytes, %v", len(got.body), got.header)
	}
	if got := r.do("GET", "/p"); got.body != product || !strings.Contains(got.header.Get("Cache-Status"), "uri-miss") {
		t.Errorf("afterwards: %d bytes, %v", len(got.body), got.header)
	}
}

// A client that leaves before its copy was unpacked says nothing of the copy, which others get.
func TestCompressedCopyOfWhoLeaves(t *testing.T) {
	r := newRig(t, serveProduct, rigOptions{}, routeFor(t, "product", func(r *policy.Route) { r.Compression = httpcache.Gzip }, "GET /p"))
	r.do("GET", "/p")
	kept(t, r, 1)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, ranges := range []string{"", "bytes=10-19", "bytes=10-19,1000-1009"} {
		req := httptest.NewRequestWithContext(gone, "GET", r.front.URL+"/p", nil)
		if req.Header.Set("Range", ranges); ranges == "" {
			req.Header.Del("Range")
		}
		w := httptest.NewRecorder()
		if r.proxy.ServeHTTP(w, req); strings.Contains(w.Body.String(), product[10:20]) {
			t.Errorf("range %q: unpacked for nobody: %d bytes", ranges, w.Body.Len())
		}
		if got := r.do("GET", "/p"); got.body != product || !strings.Contains(got.header.Get("Cache-Status"), "hit") {
			t.Errorf("range %q, another client afterwards: %d bytes, %v", ranges, len(got.body), got.header)
		}
	}
}

// A Range selects from what the origin sent, under its strong ETag, in whatever form the copy is held (RFC 9110 §14.2).
func TestCompressedRanges(t *testing.T) {
	r := newRig(t, serveProduct, rigOptions{}, routeFor(t, "product", func(r *policy.Route) { r.Compression = httpcache.Zstd }, "GET /p"))
	r.do("GET", "/p")
	kept(t, r, 1)
	got := r.do("GET", "/p", "Accept-Encoding", "zstd", "Range", "bytes=10-19", "If-Range", `"v1"`)
	if got.status != 206 || got.body != product[10:20] || got.header.Get("Content-Encoding") != "" || got.header.Get("Etag") != `"v1"` ||
		got.header.Get("Content-Range") != fmt.Sprintf("bytes 10-19/%d", len(product)) {
		t.Errorf("a range: %d %q %v", got.status, got.body, got.header)
	}
	got = r.do("GET", "/p", "Accept-Encoding", "zstd", "Range", "bytes=10-19", "If-Range", `"v2"`)
	if got.status != 200 || got.body != product || got.header.Get("Content-Encoding") != "" {
		t.Errorf("a range of another version: %d %v", got.status, got.header)
	}
	got = r.do("GET", "/p", "Range", "bytes=10-19,1000-1009,-5")
	_, params, _ := strings.Cut(got.header.Get("Content-Type"), "boundary=")
	parts := strings.Split(got.body, "--"+params)
	if got.status != 206 || len(parts) != 5 || !strings.HasSuffix(parts[1], "\r\n\r\n"+product[10:20]+"\r\n") ||
		!strings.HasSuffix(parts[2], "\r\n\r\n"+product[1000:1010]+"\r\n") || !strings.HasSuffix(parts[3], "\r\n\r\n"+product[len(product)-5:]+"\r\n") {
		t.Errorf("ranges: %d %v %q", got.status, got.header, got.body)
	}
	// Each of these would have the copy unpacked once more.
	if got = r.do("GET", "/p", "Range", "bytes=1000-1009,10-19"); got.status != 200 || got.body != product {
		t.Errorf("ranges that go back: %d %v", got.status, got.header)
	}
	if got = r.do("GET", "/p", "Range", fmt.Sprintf("bytes=%d-", len(product))); got.status != 416 {
		t.Errorf("a range beyond the end: %d %v", got.status, got.header)
	}
}
