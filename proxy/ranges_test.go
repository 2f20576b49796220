package proxy

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
)

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func TestRangesOfAWhole(t *testing.T) {
	tagged := []string{"Etag", `"v"`, "Last-Modified", "Mon, 02 Mar 2026 10:00:00 GMT", "Date", "Mon, 02 Mar 2026 10:00:05 GMT", "Cache-Control", "max-age=99999999"}
	fetched := piece{header: rng("0-2"), body: "ABC", span: "bytes 0-2/26", cache: "fwd=uri-miss; fwd-status=200; stored", origin: ""}
	for _, c := range []struct {
		name   string
		body   string
		header []string
		before func(http.ResponseWriter, *http.Request) bool
		pieces []piece
	}{
		{name: "a miss fetches the whole, and later ranges are answered from it", pieces: []piece{
			fetched, {header: rng("3-4"), body: "DE", span: "bytes 3-4/26", cache: "cacheproxy; hit", origin: "-"},
			{header: rng("23-"), body: "XYZ", span: "bytes 23-25/26", cache: "hit", origin: "-"},
			{header: rng("-1"), body: "Z", span: "bytes 25-25/26", cache: "hit", origin: "-"},
			{header: rng("0-0,-1"), body: letters, span: "bytes 0-25/26", cache: "hit", origin: "-"},
			{status: 200, body: letters, cache: "hit", origin: "-"},
		}},
		{name: "nothing of it is there (RFC 9110 §15.5.17)", pieces: []piece{
			{header: rng("26-"), status: 416, body: "*", span: "bytes */26", cache: "fwd-status=200; stored", origin: ""},
			{header: rng("26-"), status: 416, body: "*", span: "bytes */26", cache: "hit", origin: "-"},
		}},
		{name: "what has no range handling is answered whole (§14.2)", pieces: []piece{
			fetched, {header: rng("5-1"), status: 200, body: letters, origin: "-"}, {header: rng("x"), status: 200, body: letters, origin: "-"},
			{method: "HEAD", header: rng("0-1"), status: 200, cache: "hit", origin: "-"},
		}},
		{name: "If-Range (§13.1.5)", header: tagged, pieces: []piece{
			{header: rng("0-2", "If-Range", `"old"`), status: 200, body: letters, origin: ""},
			{header: rng("0-2", "If-Range", `"v"`), body: "ABC", span: "bytes 0-2/26", origin: "-"},
			{header: rng("0-2", "If-Range", `W/"v"`), status: 200, body: letters, origin: "-"},
			{header: rng("0-2", "If-Range", "Mon, 02 Mar 2026 10:00:00 GMT"), body: "ABC", span: "bytes 0-2/26", origin: "-"},
			{header: rng("0-2", "If-Range", "Mon, 02 Mar 2026 10:00:01 GMT"), status: 200, body: letters, origin: "-"},
			{header: rng("99-", "If-Range", `"old"`), status: 200, body: letters, origin: "-"},
			{header: []string{"If-Range", `"old"`}, status: 200, body: letters, origin: "-"},
		}},
		{name: "the other preconditions come first (§13.2.2)", header: tagged, pieces: []piece{
			{header: rng("0-2", "If-None-Match", `"v"`), status: 304, origin: ""},
			{header: rng("0-2", "If-None-Match", `"v"`), status: 304, cache: "hit", origin: "-"},
			{header: rng("0-2", "If-None-Match", `"w"`), body: "ABC", span: "bytes 0-2/26", origin: "-"},
			{header: rng("0-2", "If-Modified-Since", "Mon, 02 Mar 2026 10:00:00 GMT"), status: 304, origin: "-"},
		}},
		{name: "If-Match that the copy does not meet is the origin's (RFC 9111 §4.3.2)", header: tagged, pieces: []piece{
			{header: rng("0-2", "If-Match", `"v"`), body: "ABC", span: "bytes 0-2/26", cache: "stored", origin: ""},
			{header: rng("0-2", "If-Match", `"v"`), body: "ABC", span: "bytes 0-2/26", cache: "hit", origin: "-"},
			{header: rng("0-2", "If-Match", `"w"`), status: 412, cache: "fwd=bypass; fwd-status=412; detail=precondition", origin: "bytes=0-2"},
			{header: []string{"If-Match", `"w"`}, status: 412, cache: "detail=precondition", origin: ""},
			{method: "HEAD", header: []string{"If-Match", `"w"`}, status: 412, cache: "detail=precondition", origin: ""},
			{header: []string{"If-Unmodified-Since", "Mon, 02 Mar 2026 10:00:00 GMT"}, status: 200, body: letters, cache: "hit", origin: "-"},
			{purge: []policy.Member{key("a")}, header: []string{"If-Match", `"w"`}, status: 412, cache: "detail=precondition", origin: " | "},
		}},
		{name: "an answer that is not kept is not sent whole", header: []string{"Cache-Control", "private"}, pieces: []piece{
			{header: rng("0-2"), body: "ABC", span: "bytes 0-2/26", cache: "fwd=bypass; fwd-status=206; detail=range", origin: " | bytes=0-2"},
			{header: rng("0-2"), body: "ABC", span: "bytes 0-2/26", cache: "detail=hit-for-miss", origin: "bytes=0-2"},
		}},
		{name: "nor is one that is too large", body: strings.Repeat("x", 101), pieces: []piece{
			{header: rng("0-2"), body: "xxx", span: "bytes 0-2/101", cache: "detail=range", origin: " | bytes=0-2"},
			{header: rng("0-2"), body: "xxx", span: "bytes 0-2/101", cache: "detail=hit-for-miss", origin: "bytes=0-2"},
		}},
		{name: "nor one that turns out too large", body: strings.Repeat("x", 101), before: chunked(strings.Repeat("x", 101)), pieces: []piece{
			{header: rng("-3"), body: "xxx", span: "bytes 98-100/101", cache: "detail=range", origin: " | bytes=-3"},
			{header: rng("-3"), body: "xxx", span: "bytes 98-100/101", cache: "detail=hit-for-miss", origin: "bytes=-3"},
		}},
		{name: "a length that is not known is waited for", before: chunked(letters), pieces: []piece{
			{header: rng("-3"), body: "XYZ", span: "bytes 23-25/26", cache: "stored", origin: ""},
			{header: rng("0-1"), body: "AB", span: "bytes 0-1/26", cache: "hit", origin: "-"},
		}},
		{name: "only a 200 has parts", before: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "none")
			return true
		}, pieces: []piece{
			{header: rng("0-1"), status: 404, body: "none", origin: ""}, {header: rng("0-1"), status: 404, body: "none", cache: "hit", origin: "-"},
		}},
		{name: "a 206 that nobody asked for is never taken for the whole", before: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 0-1/26")
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "AB")
			return true
		}, pieces: []piece{
			{body: "AB", span: "bytes 0-1/26", cache: "detail=partial", origin: ""},
			{body: "AB", span: "bytes 0-1/26", cache: "detail=partial", origin: ""},
			{header: rng("0-0"), body: "AB", span: "bytes 0-1/26", cache: "detail=hit-for-miss", origin: "bytes=0-0"},
		}},
		{name: "an empty whole has no parts", body: "\x00", before: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(http.StatusOK)
			return true
		}, pieces: []piece{{header: rng("0-1"), status: 200, origin: ""}, {header: rng("-1"), status: 200, cache: "hit", origin: "-"}}},
		{name: "a purge ends it for ranges as well", pieces: []piece{
			fetched, {header: rng("0-2"), purge: []policy.Member{key("a")}, body: "ABC", span: "bytes 0-2/26", cache: "fwd=miss; fwd-status=200; stored; detail=purged", origin: ""},
		}},
		{name: "a copy to be confirmed is, and then gives parts", header: []string{"Etag", `"v"`, "Cache-Control", "no-cache"}, pieces: []piece{
			{header: rng("0-2"), body: "ABC", span: "bytes 0-2/26", cache: "stored", origin: ""},
			{header: rng("3-4"), body: "DE", span: "bytes 3-4/26", cache: "fwd=stale; fwd-status=304", origin: ""},
		}},
		{name: "digests of the content go, those of the representation stay (RFC 9530 §2)",
			header: []string{"Content-Digest", "c", "Repr-Digest", "r"}, pieces: []piece{fetched}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := letters
			if c.body != "" {
				body = c.body
			}
			s := newLibrary(body, c.header...)
			s.before = c.before
			r := newRig(t, s.ServeHTTP, rigOptions{maxObject: 100}, routeFor(t, "all", func(r *policy.Route) { r.Key = template(t, "a") }, "/"))
			runPieces(t, r, s, c.pieces)
		})
	}
}

// chunked keeps the length of the whole to itself.
func chunked(body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") != "" {
			return false
		}
		http.NewResponseController(w).Flush() //nolint:errcheck // the length is not known then
		io.WriteString(w, body)
		return true
	}
}

func TestPartialHeader(t *testing.T) {
	s := newLibrary(letters, "Etag", `"v"`, "Content-Digest", "c", "Repr-Digest", "r", "Cache-Control", "max-age=60", "Vary", "X", "X-Other", "o")
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", nil, "/"))
	r.do("GET", "/a")
	a := r.do("GET", "/a", "Range", "bytes=1-2")
	for name, want := range map[string]string{
		"Content-Digest": "", "Repr-Digest": "r", "Etag": `"v"`, "Cache-Control": "max-age=60", "Vary": "X", "X-Other": "o",
		"Content-Type": "text/plain", "Content-Range": "bytes 1-2/26", "Content-Length": "2",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q (RFC 9110 §15.3.7)", name, got, want)
		}
	}
	if a.header.Get("Date") == "" {
		t.Error("no Date")
	}
	if age := a.header.Get("Age"); age != "0" && age != "1" { // by the Date, which has whole seconds
		t.Errorf("Age: %q", age)
	}
	whole := r.do("GET", "/a")
	if whole.header.Get("Content-Digest") != "c" || whole.header.Get("Content-Range") != "" || whole.header.Get("Content-Length") != "26" {
		t.Errorf("answering with a part changed the copy: %v", whole.header)
	}
}

func TestMultipart(t *testing.T) {
	body := strings.Repeat(letters, 50)
	s := newLibrary(body, "Etag", `"v"`)
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", nil, "/"))
	for _, about := range []string{"from a fill", "from a copy"} {
		a := r.do("GET", "/a", "Range", "bytes=1000-1009, -5, 9999-, 0-4")
		if a.status != 206 || a.header.Get("Content-Range") != "" || a.header.Get("Content-Length") != fmt.Sprint(len(a.body)) || a.header.Get("Etag") != `"v"` {
			t.Fatalf("%s: %d %v", about, a.status, a.header)
		}
		kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
		if err != nil || kind != "multipart/byteranges" {
			t.Fatalf("%s: %q", about, a.header.Get("Content-Type"))
		}
		b := params["boundary"]
		part := func(span, bytes string) string {
			return "--" + b + "\r\nContent-Type: text/plain\r\nContent-Range: bytes " + span + "/1300\r\n\r\n" + bytes + "\r\n"
		}
		want := part("1000-1009", body[1000:1010]) + part("1295-1299", body[1295:]) + part("0-4", body[:5]) + "--" + b + "--\r\n"
		if a.body != want {
			t.Errorf("%s: %q, want %q", about, a.body, want)
		}
		if strings.Contains(body, b) {
			t.Errorf("the boundary is in the body")
		}
	}
	if got := len(s.asked()); got != 1 {
		t.Errorf("the origin was asked %d times", got)
	}
	// Parts that would take more than the whole are the whole.
	small := newLibrary(strings.Repeat("x", 200))
	r = newRig(t, small.ServeHTTP, rigOptions{}, routeFor(t, "all", nil, "/"))
	if a := r.do("GET", "/a", "Range", "bytes=0-0,-1"); a.status != 200 || len(a.body) != 200 {
		t.Errorf("two bytes of 200 in parts: %d, %d bytes", a.status, len(a.body))
	}
}

// What is answered is what net/http would answer, wherever both have to do the same.
func TestRangesAsNetHTTP(t *testing.T) {
	body := strings.Repeat(letters, 100)
	s := newLibrary(body)
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", nil, "/"))
	r.do("GET", "/a")
	random := rand.New(rand.NewPCG(3, 4))
	n := func() int { return random.IntN(len(body) + 100) }
	spec := func() string {
		switch first := n(); random.IntN(3) {
		case 0:
			return fmt.Sprintf("-%d", 1+n())
		case 1:
			return fmt.Sprintf("%d-", first)
		default:
			return fmt.Sprintf("%d-%d", first, first+n())
		}
	}
	for range 500 {
		specs := []string{spec()}
		for random.IntN(2) == 0 {
			specs = append(specs, spec())
		}
		field := "bytes=" + strings.Join(specs, ", ")
		req := httptest.NewRequest("GET", "/a", nil)
		req.Header.Set("Range", field)
		reference := httptest.NewRecorder()
		http.ServeContent(reference, req, "a.txt", time.Time{}, strings.NewReader(body))
		a := r.do("GET", "/a", "Range", field)
		if len(specs) == 1 {
			if a.status != reference.Code || a.header.Get("Content-Range") != reference.Header().Get("Content-Range") ||
				a.status == 206 && a.body != reference.Body.String() {
				t.Fatalf("%s: %d %q, net/http says %d %q", field, a.status, a.header.Get("Content-Range"), reference.Code, reference.Header().Get("Content-Range"))
			}
			continue
		}
		// Of several, ours may be joined: every byte that is asked for is there, and is the right one.
		have, want := covered(t, body, a), covered(t, body, answer{reference.Code, reference.Header(), reference.Body.String()})
		for i := range want {
			if want[i] && !have[i] {
				t.Fatalf("%s: byte %d is missing: %d %q", field, i, a.status, a.header.Get("Content-Range"))
			}
		}
	}
}

// covered tells which bytes of a whole an answer has, all of which must be right.
func covered(t *testing.T, body string, a answer) []bool {
	t.Helper()
	have := make([]bool, len(body))
	mark := func(first, last int, bytes string) {
		if body[first:last+1] != bytes {
			t.Fatalf("bytes %d-%d are %q", first, last, bytes)
		}
		for i := first; i <= last; i++ {
			have[i] = true
		}
	}
	var first, last int
	_, params, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	switch {
	case a.status == 200:
		mark(0, len(body)-1, a.body)
	case a.status != 206:
	case params["boundary"] == "":
		fmt.Sscanf(a.header.Get("Content-Range"), "bytes %d-%d/", &first, &last)
		mark(first, last, a.body)
	default:
		parts := multipart.NewReader(strings.NewReader(a.body), params["boundary"])
		for {
			p, err := parts.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Sscanf(p.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last)
			mark(first, last, string(b))
		}
	}
	return have
}

// A part goes out as soon as it is there, while the rest of the body is still to come; and it takes all of the waiting
// along with one fetch.
func TestRangesOfAGrowingBody(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	s := newLibrary("")
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "26")
		io.WriteString(w, letters[:10])
		http.NewResponseController(w).Flush() //nolint:errcheck // seen below
		arrived <- struct{}{}
		<-release
		io.WriteString(w, letters[10:])
		return true
	}
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", nil, "/"))
	if a := r.do("GET", "/a", "Range", "bytes=2-4"); a.status != 206 || a.body != "CDE" { // it returns although nothing is released
		t.Fatalf("the first: %d %q", a.status, a.body)
	}
	<-arrived
	if a := r.do("GET", "/a", "Range", "bytes=5-9"); a.body != "FGHIJ" || !strings.Contains(a.header.Get("Cache-Status"), "collapsed") {
		t.Fatalf("a follower: %q, %v", a.body, a.header)
	}
	var late sync.WaitGroup
	for _, want := range []struct{ field, body string }{{"bytes=8-12", "IJKLM"}, {"bytes=-2", "YZ"}, {"bytes=0-1,20-21", letters[:22]}} {
		late.Go(func() {
			if a, err := r.try("GET", "/a", nil, "Range", want.field); err != nil || a.status != 206 || a.body != want.body {
				t.Errorf("%s: %v, %d %q", want.field, err, a.status, a.body)
			}
		})
	}
	close(release)
	late.Wait()
	if n := len(s.asked()); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

func TestColdRangesAreOneFetch(t *testing.T) {
	s := newLibrary(letters)
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", nil, "/"))
	for _, a := range crowd(r, 200, "/a", "Range", "bytes=1-3") {
		if a.status != 206 || a.body != "BCD" {
			t.Fatalf("%d %q", a.status, a.body)
		}
	}
	if n := len(s.asked()); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// A body that breaks off ends no range that it has given, and no other is taken for complete.
func TestRangesOfABrokenBody(t *testing.T) {
	s := newLibrary("")
	s.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "26")
		io.WriteString(w, letters[:10])
		http.NewResponseController(w).Flush() //nolint:errcheck // what follows counts
		panic(http.ErrAbortHandler)
	}
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", nil, "/"))
	if a, err := r.try("GET", "/a", nil, "Range", "bytes=2-4"); err != nil || a.body != "CDE" {
		t.Errorf("what was there: %q", a.body)
	}
	if a, err := r.try("GET", "/a", nil, "Range", "bytes=8-12"); err == nil {
		t.Errorf("what was not: %d %q", a.status, a.body)
	}
	if a := r.do("GET", "/a", "Range", "bytes=0-1,8-12"); a.status != 502 {
		t.Errorf("several, of which one is not there: %d %q", a.status, a.body)
	}
}

func TestObservedRangesPass(t *testing.T) {
	s := newLibrary(letters)
	r := newRig(t, s.ServeHTTP, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Mode = policy.Observe }, "/"))
	runPieces(t, r, s, []piece{{header: rng("0-2"), body: "ABC", span: "bytes 0-2/26", cache: "detail=range", origin: "bytes=0-2"}})
}

// A script of another site sees the status of a range that is not there where it may read the whole, from a copy and of what comes.
func TestRangeThatIsNotThereIsReadable(t *testing.T) {
	origin := func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Expose-Headers": "Content-Range", "Cross-Origin-Resource-Policy": "cross-origin",
			"Vary": "Origin", "Cache-Control": "max-age=600", "Etag": `"v"`, "X-Powered-By": "x", "Access-Control-Max-Age": "5",
		} {
			w.Header().Set(name, value)
		}
		io.WriteString(w, letters)
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.RemoveFields = []string{"Access-Control-Max-Age"} }, "/")
	inBubble(t, origin, rigOptions{}, route, func(b *bubble) {
		for _, cache := range []string{"stored", "; hit"} {
			a := b.do("GET", "/", "Origin", "https://a.example", "Range", "bytes=26-")
			synctest.Wait()
			a.want(t, "a range beyond the end", 416, "*", cache)
			var got []string
			for _, name := range slices.Sorted(maps.Keys(a.header)) {
				switch name {
				case "Cache-Status", "Content-Length", "Content-Type", "Date", "X-Content-Type-Options", "X-Request-Id":
				default:
					got = append(got, name+": "+strings.Join(a.header[name], ", "))
				}
			}
			want := []string{
				"Access-Control-Allow-Origin: https://a.example", "Access-Control-Expose-Headers: Content-Range", "Cache-Control: no-store",
				"Content-Range: bytes */26", "Cross-Origin-Resource-Policy: cross-origin", "Vary: Origin",
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", cache, got, want)
			}
		}
	})
}
