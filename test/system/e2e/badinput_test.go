package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Malformed requests get 4xx, reach no origin, and leave the proxy as it was (RFC 9112).
func TestMalformedHTTP(t *testing.T) {
	o := newOrigin(t, "Cache-Control: max-age=60")
	p := serve(t, "--upstream", o.url)
	wantHit(t, p.data+"/good", false)
	for _, c := range []struct {
		name, request string
		status        string // the first digits of the status
	}{
		{"no request line", "hello\r\n\r\n", "400"},
		{"no version", "GET /bad\r\n\r\n", "400"},
		{"an unknown version", "GET /bad HTTP/3.7\r\nHost: a\r\n\r\n", "505"},
		{"a method that is no token", "GE(T /bad HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		{"a space in the target", "GET /bad thing HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		{"a bad escape", "GET /bad%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "400"},
		{"no Host", "GET /bad HTTP/1.1\r\n\r\n", "400"},
		{"two Hosts", "GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		{"a Host that is none", "GET /bad HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
		{"a field without colon", "GET /bad HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", "400"},
		{"a space before the colon", "GET /bad HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", "400"},
		{"a control character in a value", "GET /bad HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", "400"},
		{"a name that is no token", "GET /bad HTTP/1.1\r\nHost: a\r\nX@[: 1\r\n\r\n", "400"},
		{"conflicting lengths", "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"},
		{"a negative length", "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "400"},
		{"a length that is no number", "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", "400"},
		{"an unknown transfer coding", "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: zip\r\n\r\n", "501"},
		{"chunked twice", "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "501"},
		{"an oversize header", "GET /bad HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 128<<10) + "\r\n\r\n", "431"},
		{"an oversize target", "GET /bad" + strings.Repeat("a", 128<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "431"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sendRaw(t, p.data, c.request); !strings.HasPrefix(got, "HTTP/1.1 "+c.status) {
				t.Errorf("answer %.200q, want %s", got, c.status)
			}
			wantHit(t, p.data+"/good", true)
		})
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for target := range o.asked {
		if strings.Contains(target, "bad") {
			t.Errorf("the origin was asked for %.80q", target)
		}
	}
}

// Two framings in one request are how requests are smuggled. The chunks count, and the origin sees one framing only, so
// that proxy and origin cannot disagree about where the request ends (RFC 9112 §6.3).
func TestOneFraming(t *testing.T) {
	heads := make(chan string, 10)
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		heads <- fmt.Sprintf("%s %v %v %q %v", r.URL.Path, r.TransferEncoding, r.Header["Content-Length"], body, err)
	})
	p := serve(t, "--upstream", url)
	got := sendRaw(t, p.data, "POST /outer HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 45\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"2\r\nhi\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	if n := strings.Count(got, "HTTP/1.1 "); n != 1 || !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("%d answers, want one: %q", n, got)
	}
	if head := <-heads; head != `/outer [chunked] [] "hi" <nil>` {
		t.Errorf("the origin got %q", head)
	}
	if len(heads) > 0 {
		t.Errorf("the origin also got %q", <-heads)
	}
}

// A body whose chunks are broken ends the request with an error; the next connection is served.
func TestBadChunks(t *testing.T) {
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		fmt.Fprint(w, "read")
	})
	p := serve(t, "--upstream", url)
	for _, chunks := range []string{"zz\r\nab\r\n0\r\n\r\n", "-1\r\n\r\n", "ffffffffffffffffff\r\nab\r\n0\r\n\r\n", "2\r\nabc\r\n0\r\n\r\n"} {
		got := sendRaw(t, p.data, "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks)
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("chunks %q: answer %.200q, want 400", chunks, got)
		}
	}
	if a := get(t, p.data+"/"); a.status != http.StatusOK {
		t.Errorf("afterwards: %d", a.status)
	}
}

// The operator's listener is as hard to upset.
func TestMalformedAdminCalls(t *testing.T) {
	p := serve(t, "--upstream", newOrigin(t).url)
	for _, c := range []struct{ name, request, status string }{
		{"a bad escape", "DELETE /keys/%zz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", "400"},
		{"no request line", "hello\r\n\r\n", "400"},
		{"an oversize header", "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("a", 128<<10) + "\r\n\r\n", "431"},
	} {
		if got := sendRaw(t, p.admin, c.request); !strings.HasPrefix(got, "HTTP/1.1 "+c.status) {
			t.Errorf("%s: answer %.200q, want %s", c.name, got, c.status)
		}
	}
	if a := get(t, p.admin+"/healthz"); a.status != http.StatusOK {
		t.Errorf("afterwards: %d", a.status)
	}
}

// A response larger than max_object streams through, whole and unstored, with or without a declared length.
func TestOversizeResponse(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 16<<10) // 256 KiB
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/declared" {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		for part := body; part != ""; part = part[1<<10:] {
			fmt.Fprint(w, part[:1<<10])
		}
	})
	p := serveConfig(t, fmt.Sprintf(`
memory: {size: 16MiB, max_object: 64KiB}
drain_delay: 0s
upstreams: [{name: origin, url: "%s"}]
routes: [{name: all, match: /, policy: cache-aside}]
`, url))
	for _, path := range []string{"/declared", "/chunked"} {
		for range 2 {
			if a := wantHit(t, p.data+path, false); a.body != body {
				t.Errorf("%s: %d bytes, want %d", path, len(a.body), len(body))
			}
		}
	}
	wantCounted(t, p, `cacheproxy_not_stored_total{reason="too-large",route="all"}`)
}

// An origin that answers with something other than HTTP, or with half of it, is a 502, and the proxy lives on.
func TestBadOrigin(t *testing.T) {
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, map[string]string{
			"/garbage": "SSH-2.0-OpenSSH\r\n", "/lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
			"/header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 2<<20) + "\r\n\r\n",
			"/cut":    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nabc",
		}[r.URL.Path])
	})
	p := serve(t, "--upstream", url)
	for _, path := range []string{"/garbage", "/lengths", "/header"} {
		if a := get(t, p.data+path); a.status != http.StatusBadGateway || a.cacheStatus() == "" {
			t.Errorf("%s: %d, %q", path, a.status, a.cacheStatus())
		}
	}
	for range 2 {
		if a, err := tryCall(http.MethodGet, p.data+"/cut", ""); err == nil || a.isHit() {
			t.Errorf("a body that ends early arrives as whole: %q, %q", a.body, a.cacheStatus())
		}
	}
}
