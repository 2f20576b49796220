package upstream

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"cacheproxy/policy/httpcache"
)

// requestLines answers every connection with 204 and returns the first line of each.
func requestLines(t *testing.T) (*url.URL, <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lines, done := make(chan string, 1), make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			first, _ := r.ReadString('\n')
			for line := first; strings.TrimSpace(line) != ""; {
				if line, err = r.ReadString('\n'); err != nil {
					break
				}
			}
			lines <- strings.TrimSuffix(first, "\r\n")
			io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			conn.Close()
		}
	}()
	return &url.URL{Scheme: "http", Host: ln.Addr().String()}, lines
}

var exactTargets = []struct {
	target httpcache.Target
	line   string // "" : path and query as they are
}{
	{httpcache.Target{Path: "/"}, ""},
	{httpcache.Target{Path: "/a|b"}, ""},
	{httpcache.Target{Path: "/%7Euser"}, ""},
	{httpcache.Target{Path: "/~user"}, ""},
	{httpcache.Target{Path: "/%7euser/%2F%2f"}, ""},
	{httpcache.Target{Path: "//double"}, ""},
	{httpcache.Target{Path: "//double/%41"}, ""},
	{httpcache.Target{Path: "//a|b"}, "http://shop.test//a|b"},
	{httpcache.Target{Path: "//a%zz"}, "http://shop.test//a%zz"},
	{httpcache.Target{Path: "/a;b", Query: "x=%zz&", HasQuery: true}, ""},
	{httpcache.Target{Path: "/a", HasQuery: true}, ""},
	{httpcache.Target{Path: "/a", Query: "?", HasQuery: true}, ""},
	{httpcache.Target{Path: "/a", Query: "a=1;b=2&&=&c", HasQuery: true}, ""},
	{httpcache.Target{Path: "/a/../b/./c//d/"}, ""},
	{httpcache.Target{Path: "/%"}, ""},
	{httpcache.Target{Path: "/a%"}, ""},
	{httpcache.Target{Path: "/a%00b"}, ""},
	{httpcache.Target{Path: "/a#b"}, ""},
	{httpcache.Target{Path: `/"<>^` + "`" + `{}\`}, ""},
	{httpcache.Target{Path: "/ümlaut"}, ""},
	{httpcache.Target{Path: "/a:b@c"}, ""},
	{httpcache.Target{Path: "/*"}, ""},
	{httpcache.Target{Path: "*"}, "*"},
	{httpcache.Target{Path: ""}, "/"},
}

// RFC 9110 §7.7: a proxy must not change the path and query of a request. RFC 9112 §3.2.
func TestTargetIsExact(t *testing.T) {
	base, lines := requestLines(t)
	o := New(Options{Name: "raw", URL: base})
	for _, c := range exactTargets {
		want := c.line
		if want == "" {
			want = c.target.Path
		}
		if c.target.HasQuery {
			want += "?" + c.target.Query
		}
		method := "GET"
		if want == "*" {
			method = "OPTIONS"
		}
		req := (&http.Request{Method: method, Host: "shop.test", Header: http.Header{}}).WithContext(t.Context())
		SetTarget(req, o.URL(), c.target)
		res, err := o.RoundTrip(req)
		if err != nil {
			t.Errorf("%+v: %v", c.target, err)
			continue
		}
		res.Body.Close()
		if got, want := <-lines, method+" "+want+" HTTP/1.1"; got != want {
			t.Errorf("%+v: sent %q, want %q", c.target, got, want)
		}
	}
}

func TestTargetIsExactOverHTTP2(t *testing.T) {
	got := make(chan string, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.RequestURI }))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.DisableGeneralOptionsHandler = true
	srv.Start()
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "h2c"
	o := New(Options{Name: "h2c", URL: u})
	t.Cleanup(o.CloseIdle)
	for _, path := range []string{"/a|b", "//double", "//a|b", "/%7Euser"} {
		req := (&http.Request{Method: "GET", Host: "shop.test", Header: http.Header{}}).WithContext(t.Context())
		SetTarget(req, o.URL(), httpcache.Target{Path: path, HasQuery: true})
		res, err := o.RoundTrip(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		res.Body.Close()
		if uri := <-got; uri != path+"?" {
			t.Errorf("%s: arrived as %q", path, uri)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, c := range exactTargets {
		f.Add(c.target.Path, c.target.Query, c.target.HasQuery)
	}
	f.Fuzz(func(t *testing.T, path, query string, hasQuery bool) {
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "?") || query != "" && !hasQuery {
			t.Skip()
		}
		req := &http.Request{Host: "shop.test"}
		SetTarget(req, &url.URL{Scheme: "http", Host: "10.0.0.1:80"}, httpcache.Target{Path: path, Query: query, HasQuery: hasQuery})
		want := path
		if hasQuery {
			want += "?" + query
		}
		if got := strings.TrimPrefix(req.URL.RequestURI(), "http://shop.test"); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}
