package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cacheproxy/policy"
)

// partial answers with this status, Content-Range and body, whatever is asked for.
func partial(w http.ResponseWriter, status int, span, body string) bool {
	if span != "" {
		w.Header().Set("Content-Range", span)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body)
	return true
}

func TestParts(t *testing.T) {
	tagged := []string{"Etag", `"v"`, "Cache-Control", "max-age=60"}
	first := piece{header: rng("0-4"), body: "ABCDE", span: "bytes 0-4/26", cache: "fwd=uri-miss; fwd-status=206; stored", origin: "bytes=0-4"}
	purge := []policy.Member{key("a")}
	whole := func(origin string) piece {
		return piece{status: 200, body: letters, cache: "stored", origin: origin}
	}
	for _, c := range []struct {
		name   string
		body   string
		header []string
		before func(n int, w http.ResponseWriter, r *http.Request) bool // n counts from 1
		pieces []piece
	}{
		{name: "a part is kept, and ranges within it are answered from it (RFC 9111 §3.3)", header: tagged, pieces: []piece{
			first, {header: rng("0-4"), body: "ABCDE", span: "bytes 0-4/26", cache: "cacheproxy; hit; ttl=", origin: "-"},
			{header: rng("1-2"), body: "BC", span: "bytes 1-2/26", cache: "hit", origin: "-"},
			{header: rng("3-5"), body: "DEF", span: "bytes 3-5/26", cache: "fwd-status=206; stored", origin: "bytes=3-5"},
			{header: rng("0-5"), body: "ABCDEF", span: "bytes 0-5/26", cache: "hit", origin: "-"},
			{header: rng("-1"), body: "Z", span: "bytes 25-25/26", cache: "stored", origin: "bytes=-1"},
			{header: rng("25-"), body: "Z", span: "bytes 25-25/26", cache: "hit", origin: "-"},
		}},
		{name: "without a validator it is kept as well, alone", header: []string{"Cache-Control", "max-age=60"}, pieces: []piece{
			first, {header: rng("1-2"), body: "BC", span: "bytes 1-2/26", cache: "hit", origin: "-"},
			{header: rng("5-9"), body: "FGHIJ", span: "bytes 5-9/26", cache: "stored", origin: "bytes=5-9"},
			{header: rng("1-2"), body: "BC", span: "bytes 1-2/26", cache: "stored", origin: "bytes=1-2"},
			whole(""),
		}},
		{name: "a weak validator joins nothing (§3.4)", header: []string{"Etag", `W/"v"`}, pieces: []piece{
			first, {header: rng("5-9"), body: "FGHIJ", span: "bytes 5-9/26", origin: "bytes=5-9"}, {header: rng("1-2"), body: "BC", span: "bytes 1-2/26", origin: "bytes=1-2"}, whole(""),
		}},
		{name: "the rest is fetched, and makes it whole (§3.4)", header: tagged, pieces: []piece{
			first, {status: 200, body: letters, cache: "fwd=partial; fwd-status=206; stored", origin: `bytes=5- "v"`}, // RFC 9211 §2.2
			{status: 200, body: letters, cache: "hit", origin: "-"},
			{header: rng("-1"), body: "Z", span: "bytes 25-25/26", cache: "hit", origin: "-"},
		}},
		{name: "the beginning", header: tagged, pieces: []piece{
			{header: rng("-5"), body: "VWXYZ", span: "bytes 21-25/26", origin: "bytes=-5"}, whole(`bytes=0-20 "v"`),
		}},
		{name: "the middle", header: tagged, pieces: []piece{
			first, {header: rng("-5"), body: "VWXYZ", span: "bytes 21-25/26", origin: "bytes=-5"}, whole(`bytes=5-20 "v"`),
		}},
		{name: "several gaps are not worth it", header: tagged, pieces: []piece{
			first, {header: rng("8-9"), body: "IJ", span: "bytes 8-9/26", origin: "bytes=8-9"}, whole(""),
		}},
		{name: "a strong date is a validator (RFC 9110 §8.8.2.2)",
			header: []string{"Last-Modified", "Mon, 02 Mar 2026 10:00:00 GMT", "Date", "Mon, 02 Mar 2026 10:00:05 GMT", "Cache-Control", "max-age=99999999"},
			pieces: []piece{first, whole("bytes=5- Mon, 02 Mar 2026 10:00:00 GMT")}},
		{name: "the last part makes it whole", header: tagged, pieces: []piece{
			first, {header: rng("5-"), body: letters[5:], span: "bytes 5-25/26", origin: "bytes=5-"}, {status: 200, body: letters, cache: "hit", origin: "-"},
		}},
		{name: "parts that make a whole without a validator do not", header: []string{"Cache-Control", "max-age=60"}, pieces: []piece{
			{header: rng("0-"), body: letters, span: "bytes 0-25/26", origin: "bytes=0-"}, whole(""),
		}},
		{name: "what has changed is fetched whole (RFC 9110 §13.1.5)", header: tagged, before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				w.Header().Set("Etag", `"w"`)
			}
			return false
		}, pieces: []piece{first, whole(`bytes=5- "v"`)}},
		{name: "another part than the one that is missing is refused", header: tagged, before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			return n == 2 && partial(w, 206, "bytes 6-25/26", letters[6:])
		}, pieces: []piece{first, whole(`bytes=5- "v" | `)}},
		{name: "a part of a whole of another size is refused", header: tagged, before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			return n == 2 && partial(w, 206, "bytes 5-25/27", letters[5:])
		}, pieces: []piece{first, whole(`bytes=5- "v" | `)}},
		{name: "a part of something else is refused, although If-Range should have seen to that", header: tagged, before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				w.Header().Set("Etag", `"w"`)
				return partial(w, 206, "bytes 5-25/26", strings.ToLower(letters[5:]))
			}
			return false
		}, pieces: []piece{first, whole(`bytes=5- "v" | `)}},
		{name: "a part without a validator is refused", header: tagged, before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				w.Header().Del("Etag")
				return partial(w, 206, "bytes 5-25/26", letters[5:])
			}
			return false
		}, pieces: []piece{first, whole(`bytes=5- "v" | `)}},
		{name: "several parts are refused", header: tagged, before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 2 {
				w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
				return partial(w, 206, "", letters[5:])
			}
			return false
		}, pieces: []piece{first, whole(`bytes=5- "v" | `)}},
		{name: "where there is less now, it is fetched whole", header: tagged, before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			return n == 2 && partial(w, 416, "bytes */3", "")
		}, pieces: []piece{first, whole(`bytes=5- "v" | `)}},
		{name: "what is purged is neither served nor completed", header: tagged, pieces: []piece{
			first, {purge: purge, header: rng("1-2"), body: "BC", span: "bytes 1-2/26", cache: "fwd-status=206; stored", origin: "bytes=1-2"},
			{header: rng("0-4"), body: "ABCDE", span: "bytes 0-4/26", cache: "stored", origin: "bytes=0-4"},
			{purge: purge, status: 200, body: letters, cache: "stored", origin: ""},
		}},
		{name: "what is purged is not joined", header: tagged, pieces: []piece{
			first, {purge: purge, header: rng("5-9"), body: "FGHIJ", span: "bytes 5-9/26", origin: "bytes=5-9"},
			{header: rng("0-9"), body: letters[:10], span: "bytes 0-9/26", cache: "stored", origin: "bytes=0-9"},
		}},
		{name: "what is purged softly is not served, but may be completed", header: tagged, pieces: []piece{
			first, {purge: purge, soft: true, header: rng("1-2"), body: "BC", span: "bytes 1-2/26", cache: "stored", origin: "bytes=1-2"},
			{purge: purge, soft: true, status: 200, body: letters, cache: "fwd-status=206; stored", origin: `bytes=5- "v"`},
		}},
		{name: "a whole is purged by the tags of its parts", header: append([]string{"Surrogate-Key", "t"}, tagged...), before: func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				w.Header().Del("Surrogate-Key")
			}
			return false
		}, pieces: []piece{
			first, whole(`bytes=5- "v"`), {purge: []policy.Member{tag("t")}, status: 200, body: letters, cache: "detail=purged", origin: ""},
		}},
		{name: "what must not be stored is not", header: []string{"Etag", `"v"`, "Cache-Control", "private"}, pieces: []piece{
			{header: rng("0-4"), body: "ABCDE", span: "bytes 0-4/26", cache: "detail=private", origin: "bytes=0-4"},
			{header: rng("0-4"), body: "ABCDE", span: "bytes 0-4/26", cache: "detail=private", origin: "bytes=0-4"},
		}},
		{name: "the parts of what is too large are kept up to max_object", body: strings.Repeat(letters, 10), header: tagged, pieces: []piece{
			{header: rng("0-59"), body: strings.Repeat(letters, 3)[:60], span: "bytes 0-59/260", cache: "stored", origin: "bytes=0-59"},
			{header: rng("1-2"), body: "BC", span: "bytes 1-2/260", cache: "hit", origin: "-"},
			{status: 200, body: strings.Repeat(letters, 10), cache: "detail=too-large", origin: ""},
			{header: rng("60-119"), body: strings.Repeat(letters, 5)[60:120], span: "bytes 60-119/260", cache: "stored", origin: "bytes=60-119"},
			{header: rng("1-2"), body: "BC", span: "bytes 1-2/260", cache: "stored", origin: "bytes=1-2"},
			{header: rng("0-119"), body: strings.Repeat(letters, 5)[:120], span: "bytes 0-119/260", cache: "detail=too-large", origin: "bytes=0-119"},
		}},
		{name: "several parts pass and are not kept", header: tagged, before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
			return partial(w, 206, "", "--x--")
		}, pieces: []piece{
			{header: rng("0-0,5-5"), body: "--x--", cache: "fwd-status=206; detail=partial", origin: "bytes=0-0,5-5"},
			{header: rng("0-0,5-5"), body: "--x--", cache: "fwd-status=206; detail=partial", origin: "bytes=0-0,5-5"},
		}},
		{name: "a part that is not what it says is not kept", header: tagged, before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			return partial(w, 206, "bytes 4-9/26", "ABCDE")
		}, pieces: []piece{
			{header: rng("4-9"), body: "ABCDE", span: "bytes 4-9/26", cache: "detail=partial", origin: "bytes=4-9"},
			{header: rng("6-8"), body: "ABCDE", span: "bytes 4-9/26", cache: "detail=partial", origin: "bytes=6-8"},
		}},
		{name: "nor one that turns out to be something else", header: tagged, before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 4-9/26")
			w.WriteHeader(http.StatusPartialContent)
			http.NewResponseController(w).Flush() //nolint:errcheck // the length is not known then
			io.WriteString(w, "ABCDE")
			return true
		}, pieces: []piece{
			{header: rng("4-9"), body: "ABCDE", span: "bytes 4-9/26", origin: "bytes=4-9"},
			{header: rng("6-8"), body: "ABCDE", span: "bytes 4-9/26", cache: "fwd-status=206", origin: "bytes=6-8"},
		}},
		{name: "what cannot be confirmed is not completed (§3.4)", header: []string{"Cache-Control", "max-age=60"}, pieces: []piece{first, whole("")}},
		{name: "what is neither kept nor measured comes whole, where the origin has no ranges (RFC 9110 §14.2)",
			before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Cache-Control", "private")
				http.NewResponseController(w).Flush() //nolint:errcheck // the length is not known then
				io.WriteString(w, letters)
				return true
			}, pieces: []piece{{header: rng("0-1"), status: 200, body: letters, cache: "detail=private", origin: "bytes=0-1"}}},
		{name: "416 is not kept, and says nothing of the whole", header: tagged, pieces: []piece{
			{header: rng("99-"), status: 416, body: "*", span: "bytes */26", cache: "fwd-status=416", origin: "bytes=99-"},
			first, {header: rng("99-"), status: 416, body: "*", span: "bytes */26", cache: "fwd-status=416", origin: "bytes=99-"},
			{header: rng("1-2"), body: "BC", span: "bytes 1-2/26", cache: "hit", origin: "-"},
		}},
		{name: "416 with a lifetime is for the one who asked (RFC 9110 §15.5.17)", header: tagged, before: func(n int, w http.ResponseWriter, _ *http.Request) bool {
			return n == 1 && partial(w, 416, "bytes */26", "")
		}, pieces: []piece{
			{header: rng("99-"), status: 416, span: "bytes */26", cache: "fwd-status=416; detail=range", origin: "bytes=99-"}, whole(""),
		}},
		{name: "so is any other error, which the Range may have provoked", header: tagged, before: func(n int, w http.ResponseWriter, _ *http.Request) bool {
			return n == 1 && partial(w, 400, "", "too many ranges")
		}, pieces: []piece{
			{header: rng("0-4"), status: 400, body: "too many ranges", cache: "fwd-status=400; detail=range", origin: "bytes=0-4"}, whole(""),
		}},
		{name: "an origin without ranges is asked once", header: tagged, before: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			return false
		}, pieces: []piece{
			{header: rng("1-2"), body: "BC", span: "bytes 1-2/26", cache: "fwd-status=200; stored", origin: "bytes=1-2"},
			{header: rng("3-4"), body: "DE", span: "bytes 3-4/26", cache: "hit", origin: "-"},
		}},
		{name: "If-Range goes along (RFC 9110 §13.1.5)", header: tagged, pieces: []piece{
			{header: rng("0-4", "If-Range", `"old"`), status: 200, body: letters, cache: "fwd-status=200; stored", origin: `bytes=0-4 "old"`},
		}},
		{name: "and is compared with what is kept", header: tagged, pieces: []piece{
			first, {header: rng("1-2", "If-Range", `"v"`), body: "BC", span: "bytes 1-2/26", cache: "hit", origin: "-"},
			{header: rng("1-2", "If-None-Match", `"v"`), status: 304, cache: "hit", origin: "-"},
			{header: rng("1-2", "If-Match", `"w"`), status: 412, cache: "detail=precondition", origin: "bytes=1-2 | bytes=1-2"},
			{header: rng("1-2", "If-Range", `"old"`), status: 200, body: letters, cache: "fwd-status=200; stored", origin: `bytes=1-2 "old"`},
		}},
		{name: "only-if-cached is answered from parts (RFC 9111 §5.2.1.7)", header: tagged, pieces: []piece{
			first, {header: rng("1-2", "Cache-Control", "only-if-cached"), body: "BC", span: "bytes 1-2/26", cache: "hit", origin: "-"},
			{header: rng("1-9", "Cache-Control", "only-if-cached"), status: 504, body: "*", origin: "-"},
		}},
		{name: "what came of a body that broke off is completed (§3.3)", header: tagged, before: func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", "26")
			io.WriteString(w, letters[:10])
			http.NewResponseController(w).Flush() //nolint:errcheck // what follows counts
			panic(http.ErrAbortHandler)
		}, pieces: []piece{
			{header: rng("0-1"), body: "*", status: -1, origin: "bytes=0-1"},
			whole(`bytes=10- "v"`),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := letters
			if c.body != "" {
				body = c.body
			}
			s := newLibrary(body, c.header...)
			if c.before != nil {
				s.before = func(w http.ResponseWriter, r *http.Request) bool { return c.before(len(s.asked()), w, r) }
			}
			r := newRig(t, s.ServeHTTP, rigOptions{maxObject: 100}, routeFor(t, "all", func(r *policy.Route) {
				r.Key, r.Range = template(t, "a"), policy.RangePart
			}, "/"))
			pieces := c.pieces
			if pieces[0].status < 0 { // broken: the client sees only that
				if a, err := r.try("GET", "/a", nil); err == nil {
					t.Fatalf("a body that broke off: %d %q", a.status, a.body)
				}
				r.settle(t)
				pieces = pieces[1:]
			}
			runPieces(t, r, s, pieces)
		})
	}
}

// A gap that is filled with fewer bytes, or more, would put what follows out of place.
func TestGapOfAnotherLength(t *testing.T) {
	for about, gap := range map[string]string{"short": letters[5:20], "long": letters[5:21] + "?"} {
		t.Run(about, func(t *testing.T) {
			s := newLibrary(letters, "Etag", `"v"`, "Cache-Control", "max-age=60")
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.Header.Get("Range"), "bytes=5-20") {
					return false
				}
				w.Header().Set("Content-Range", "bytes 5-20/26")
				w.WriteHeader(http.StatusPartialContent)
				http.NewResponseController(w).Flush() //nolint:errcheck // the length is not known then
				io.WriteString(w, gap)
				return true
			}
			r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Range = policy.RangePart }, "/"))
			r.do("GET", "/a", "Range", "bytes=0-4")
			r.do("GET", "/a", "Range", "bytes=21-")
			if a, err := r.try("GET", "/a", nil); err == nil {
				t.Errorf("%d %q", a.status, a.body)
			}
			if a := r.do("GET", "/a", "Range", "bytes=22-23"); a.body != "WX" {
				t.Errorf("after that: %q", a.body)
			}
		})
	}
}

// Parts belong to what Vary selects (RFC 9111 §4.1).
func TestPartsVary(t *testing.T) {
	s := newLibrary("", "Etag", `"v"`, "Cache-Control", "max-age=60", "Vary", "X-Case")
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		body := letters
		if r.Header.Get("X-Case") == "lower" {
			body = strings.ToLower(letters)
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		return true
	}
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Range, r.Headers = policy.RangePart, nil }, "/"))
	// The first of each tells the route what Vary names.
	for range 2 {
		for _, c := range []string{"upper", "lower"} {
			r.do("GET", "/a", "X-Case", c, "Range", "bytes=0-4")
		}
	}
	asked := len(s.asked())
	for c, want := range map[string]string{"upper": "BC", "lower": "bc"} {
		if a := r.do("GET", "/a", "X-Case", c, "Range", "bytes=1-2"); a.body != want || !strings.Contains(a.header.Get("Cache-Status"), "hit") {
			t.Errorf("%s: %q, %v", c, a.body, a.header)
		}
	}
	if n := len(s.asked()); n != asked {
		t.Errorf("the origin was asked %d times more", n-asked)
	}
	for c, want := range map[string]string{"upper": letters, "lower": strings.ToLower(letters)} {
		if a := r.do("GET", "/a", "X-Case", c); a.body != want {
			t.Errorf("%s, completed: %q", c, a.body)
		}
	}
}

// A write through the proxy ends parts as it ends copies (RFC 9111 §4.4).
func TestWriteEndsParts(t *testing.T) {
	s := newLibrary(letters, "Etag", `"v"`, "Cache-Control", "max-age=60")
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Range = policy.RangePart }, "/"))
	write := func(body string) { // under the same ETag: only the write says that it changed
		s.mu.Lock()
		s.body = body
		s.mu.Unlock()
		r.do("POST", "/a")
	}
	r.do("GET", "/a", "Range", "bytes=0-4")
	write(strings.ToLower(letters))
	if a := r.do("GET", "/a", "Range", "bytes=0-2"); a.body != "abc" {
		t.Errorf("a part: %q", a.body)
	}
	write(strings.Repeat("?", len(letters)))
	if a := r.do("GET", "/a"); a.body != strings.Repeat("?", len(letters)) {
		t.Errorf("the whole: %q", a.body)
	}
}

func TestExplainShowsParts(t *testing.T) {
	s := newLibrary(letters, "Etag", `"v"`, "Cache-Control", "max-age=60")
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Range = policy.RangePart }, "/"))
	r.do("GET", "/a", "Range", "bytes=0-4")
	r.settle(t)
	e, err := r.proxy.Explain("GET", r.front.URL+"/a", http.Header{})
	if err != nil || len(e.Parts) != 1 || e.Parts[0] != "bytes 0-4/26" || e.Decision != "miss" {
		t.Errorf("%v, %+v", err, e)
	}
}

// A range that is fetched for one client ends with it, but a whole that came instead is kept.
func TestWholeThatCameForAPart(t *testing.T) {
	release := make(chan struct{})
	s := newLibrary("", "Etag", `"v"`, "Cache-Control", "max-age=60")
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/a" {
			return false
		}
		w.Header().Set("Content-Length", "26")
		io.WriteString(w, letters[:10])
		http.NewResponseController(w).Flush() //nolint:errcheck // the client waits for it
		select {
		case <-release:
		case <-time.After(time.Minute):
		}
		io.WriteString(w, letters[10:])
		return true
	}
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Range = policy.RangePart }, "/"))
	if a := r.do("GET", "/a", "Range", "bytes=2-4"); a.status != 206 || a.body != "CDE" {
		t.Fatalf("%d %q", a.status, a.body)
	}
	r.do("GET", "/b") // on the same connection: the first request has ended by then
	close(release)
	waitFor(t, r.idle)
	if a := r.do("GET", "/a"); a.body != letters || !strings.Contains(a.header.Get("Cache-Status"), "hit") {
		t.Errorf("%q, %v", a.body, a.header)
	}
}
