package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Without a file everything is cached as its origin says (RFC 9111), and every response says what became of it (RFC 9211).
func TestServeUpstream(t *testing.T) {
	t.Parallel()
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", r.URL.Query().Get("cc"))
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Etag", `"1"`)
		fmt.Fprint(w, r.Method, " ", r.URL.Path)
	})
	p := serve(t, "--upstream", url)
	for _, c := range []struct {
		name, method, target string
		fields               []string
		first, second        string // what Cache-Status of the first and of the second request begins with
	}{
		{"fresh", "GET", "/a?cc=max-age=60", nil, "cacheproxy; fwd=uri-miss; fwd-status=200; stored", "cacheproxy; hit; ttl="},
		{"HEAD from the copy of a GET", "HEAD", "/a?cc=max-age=60", nil, "cacheproxy; hit", "cacheproxy; hit"},
		{"another query", "GET", "/a?cc=max-age=61", nil, "cacheproxy; fwd=uri-miss", "cacheproxy; hit"},
		{"no-store", "GET", "/b?cc=no-store", nil, "cacheproxy; fwd=uri-miss", "cacheproxy; fwd="},
		{"private", "GET", "/b?cc=private,max-age=60", nil, "cacheproxy; fwd=uri-miss", "cacheproxy; fwd="},
		{"no-cache is revalidated", "GET", "/c?cc=no-cache", nil, "cacheproxy; fwd=uri-miss", "cacheproxy; fwd=stale; fwd-status=304"},
		{"authorized", "GET", "/d?cc=max-age=60", []string{"Authorization: Bearer x"}, "cacheproxy; fwd=", "cacheproxy; fwd="},
		{"write", "POST", "/e", nil, "cacheproxy; fwd=method", "cacheproxy; fwd=method"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, want := range []string{c.first, c.second} {
				a := call(t, c.method, p.data+c.target, "", c.fields...)
				if a.status != http.StatusOK || !strings.HasPrefix(a.cacheStatus(), want) {
					t.Errorf("request %d: %d, Cache-Status %q, want %q…", i+1, a.status, a.cacheStatus(), want)
				}
			}
		})
	}
	p.stop(t, patience)
}

// A write goes through and takes the copy of its URL with it (RFC 9111 §4.4).
func TestServeUpstreamWrite(t *testing.T) {
	o := newOrigin(t, "Cache-Control: max-age=60")
	p := serve(t, "--upstream", o.url)
	wantHit(t, p.data+"/a", false)
	wantHit(t, p.data+"/a", true)
	call(t, http.MethodPut, p.data+"/a", "x")
	if a := wantHit(t, p.data+"/a", false); a.body != "GET /a #2" {
		t.Errorf("after the write: %q", a.body)
	}
}

// drainConfig serves for a second more after SIGTERM.
const drainConfig = `
listen: 127.0.0.1:0
drain_delay: 1s
upstreams: [{name: origin, url: "%s"}]
routes: [{name: all, match: /, policy: cache-aside}]
`

// SIGTERM: not ready at once, still serving while balancers notice, then what is under way is finished, then status 0.
func TestDrain(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			<-release
		}
		fmt.Fprint(w, "done")
	})
	p := serveConfig(t, fmt.Sprintf(drainConfig, url))
	if a := get(t, p.admin+"/readyz"); a.status != http.StatusOK {
		t.Fatalf("ready: %d %s", a.status, a.body)
	}
	slow := make(chan string, 1)
	go func() {
		a, err := tryCall(http.MethodGet, p.data+"/slow", "")
		slow <- fmt.Sprint(a.status, " ", a.body, " ", err)
	}()
	<-arrived
	p.signal(t, syscall.SIGTERM)
	p.line(t, "that it stops", func(line string) bool { return strings.Contains(line, `"msg":"stopping"`) })
	if a := get(t, p.admin+"/readyz"); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "draining") {
		t.Errorf("draining: /readyz answers %d %q", a.status, a.body)
	}
	if a := get(t, p.admin+"/healthz"); a.status != http.StatusOK {
		t.Errorf("draining: /healthz answers %d", a.status)
	}
	if a := get(t, p.data+"/new"); a.status != http.StatusOK || a.body != "done" {
		t.Errorf("a request while draining: %d %q", a.status, a.body)
	}
	eventually(t, "the data listener closes", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.data, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(release)
	if got := <-slow; got != "200 done <nil>" {
		t.Errorf("the request under way ended with %q", got)
	}
	if status := p.exit(t, 10*time.Second); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// An idle keep-alive connection does not hold the exit up, and is closed rather than reset.
func TestIdleConnectionAtExit(t *testing.T) {
	p := serveConfig(t, strings.Replace(fmt.Sprintf(drainConfig, newOrigin(t).url), "1s", "0s", 1))
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.data, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	p.stop(t, 5*time.Second)
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the connection ended with %v, want EOF", err)
	}
}

// SIGINT, which Ctrl-C sends, is as good as SIGTERM.
func TestInterrupt(t *testing.T) {
	p := serveConfig(t, strings.Replace(fmt.Sprintf(drainConfig, newOrigin(t).url), "1s", "0s", 1))
	p.signal(t, syscall.SIGINT)
	if status := p.exit(t, 5*time.Second); status != 0 {
		t.Errorf("exit status %d", status)
	}
}
