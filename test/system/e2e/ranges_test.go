package e2e

import (
	"net/http"
	neturl "net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// ranged is an origin that gives parts, and notes what it is asked for.
func ranged(t *testing.T, body string) (url string, asked func() string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	url = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Get("Range")+r.Header.Get("If-Range"))
		mu.Unlock()
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Etag", `"v"`)
		w.Header().Set("Cache-Control", "max-age=600")
		w.WriteHeader(http.StatusEarlyHints)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	})
	return url, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(seen, ",")
	}
}

// varying is what differs in answers that are alike, and what stands for it.
var varying = []struct {
	text *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`[A-Z2-7]{26}`), "BOUNDARY"}, {regexp.MustCompile(`Age: [0-9]+`), "Age: N"},
	{regexp.MustCompile(`ttl=-?[0-9]+`), "ttl=N"}, {regexp.MustCompile(`Date: [^\r]+`), "Date: D"},
}

// rawRange sends a request for a range and returns the answer as it comes, but for what varies.
func rawRange(t *testing.T, url, target string, fields ...string) string {
	t.Helper()
	said := sendRaw(t, url, "GET "+target+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+strings.Join(append(fields, ""), "\r\n")+"\r\n")
	for _, v := range varying {
		said = v.text.ReplaceAllString(said, v.name)
	}
	return said
}

// Ranges are answered byte for byte like this, from the whole that one request to the origin brings.
func TestRanges(t *testing.T) {
	body := strings.Repeat("0123456789", 100)
	url, asked := ranged(t, body)
	p := serveConfig(t, "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nupstreams: [{name: api, url: "+url+
		"}]\nroutes:\n  - {name: all, match: GET /, policy: cache-aside, ttl: 10m, jitter: 0%}\n")
	if got := rawRange(t, p.data, "/a"); !strings.HasSuffix(got, "\r\n\r\n"+body) {
		t.Fatalf("the whole: %.200q", got)
	}
	const date, tag = "Date: D\r\n", "Etag: \"v\"\r\nConnection: close\r\n"
	hit := func(fields, content string) string {
		return "HTTP/1.1 206 Partial Content\r\nAccept-Ranges: bytes\r\nAge: N\r\nCache-Control: max-age=600\r\nCache-Status: cacheproxy; hit; ttl=N\r\n" + fields + "\r\n" + content
	}
	for _, c := range []struct {
		about  string
		fields []string
		want   string
	}{
		{"one part", []string{"Range: bytes=3-6"},
			hit("Content-Length: 4\r\nContent-Range: bytes 3-6/1000\r\nContent-Type: text/plain\r\n"+date+tag, "3456")},
		{"two parts", []string{"Range: bytes=990-, 0-1"},
			hit("Content-Length: 230\r\nContent-Type: multipart/byteranges; boundary=BOUNDARY\r\n"+date+tag,
				"--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 990-999/1000\r\n\r\n0123456789\r\n"+
					"--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/1000\r\n\r\n01\r\n--BOUNDARY--\r\n")},
	} {
		if got := rawRange(t, p.data, "/a", c.fields...); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.about, got, c.want)
		}
	}
	if got := rawRange(t, p.data, "/a", "Range: bytes=1000-"); !strings.HasPrefix(got, "HTTP/1.1 416 ") || !strings.Contains(got, "\r\nContent-Range: bytes */1000\r\n") {
		t.Errorf("beyond the end: %q", got)
	}
	if got := rawRange(t, p.data, "/a", "Range: bytes=3-6", `If-Range: "w"`); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\n"+body) {
		t.Errorf("of another version: %.200q", got)
	}
	if got := asked(); got != "" {
		t.Errorf("the origin was asked for %q", got)
	}
}

// Without a file, a part is fetched and kept as a part, and the rest completes it.
func TestPartsAreCompleted(t *testing.T) {
	body := strings.Repeat("0123456789", 100)
	url, asked := ranged(t, body)
	p := serve(t, "--upstream", url)
	for _, fields := range []string{"Range: bytes=0-99", "Range: bytes=10-19"} {
		if a := get(t, p.data+"/a", fields); a.status != 206 {
			t.Fatalf("%v: %d %q", fields, a.status, a.cacheStatus())
		}
		// A client has its answer a moment before that is stored.
		eventually(t, "the part is stored", func() bool {
			return strings.Contains(get(t, p.admin+"/explain?method=GET&url="+neturl.QueryEscape(p.data+"/a")).body, "0-99/1000")
		})
	}
	if a := get(t, p.data+"/a"); a.status != 200 || a.body != body || !strings.Contains(a.cacheStatus(), "fwd-status=206; stored") {
		t.Errorf("the whole: %d, %d bytes, %q", a.status, len(a.body), a.cacheStatus())
	}
	if got := asked(); got != `bytes=0-99,bytes=100-"v"` {
		t.Errorf("the origin was asked for %q", got)
	}
}

func TestEarlyHintsOfAFill(t *testing.T) {
	url, _ := ranged(t, "body")
	p := serve(t, "--upstream", url)
	if got := rawRange(t, p.data, "/a"); !strings.HasPrefix(got, "HTTP/1.1 103 Early Hints\r\n") || strings.Count(got, "HTTP/1.1 ") != 2 {
		t.Errorf("%q", got)
	}
	if got := rawRange(t, p.data, "/a"); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
		t.Errorf("from the copy: %q", got)
	}
}
