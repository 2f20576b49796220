package proxy

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// passThrough serves through a passer in front of the origin at base and returns the front's address.
func passThrough(t *testing.T, base *url.URL, change func(*passOptions)) string {
	t.Helper()
	o := upstream.New(upstream.Options{Name: "test", URL: base, Timeout: 10 * time.Second})
	t.Cleanup(o.CloseIdle)
	p := newPasser(slog.New(slog.DiscardHandler))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, query, has := strings.Cut(r.RequestURI, "?")
		options := passOptions{origin: o, target: httpcache.Target{Scheme: "http", Host: r.Host, Path: target, Query: query, HasQuery: has}}
		if change != nil {
			change(&options)
		}
		p.serve(w, r, options)
	})
	all := server.NewConnections(server.Limits{})
	return listenFor(t, server.NewServer(handler, server.ServerOptions{H2C: true, Connections: all, Log: slog.New(slog.DiscardHandler)}), all)
}

func listen(t *testing.T, srv *http.Server) string {
	t.Helper()
	return listenFor(t, srv, nil)
}

// listenFor serves on connections of the set; nil: of none.
func listenFor(t *testing.T, srv *http.Server, all *server.Connections) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if all != nil {
		ln = all.Listen(ln)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// behind starts an origin with h and a front in front of it.
func behind(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	t.Cleanup(srv.Close)
	return passThrough(t, mustURL(t, srv.URL), nil)
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// rawOrigin is an origin that is written by hand: f gets every connection.
func rawOrigin(t *testing.T, f func(net.Conn, *bufio.Reader)) *url.URL {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f(conn, bufio.NewReader(conn))
			conn.Close()
		}
	}()
	return &url.URL{Scheme: "http", Host: ln.Addr().String()}
}

// readHead returns a message's start line and fields as they are on the wire.
func readHead(r *bufio.Reader) string {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String()
		}
	}
}

// sendRaw sends a request as it stands and returns everything that comes back until the connection is closed.
func sendRaw(t *testing.T, addr, request string) string {
	t.Helper()
	conn := dial(t, addr)
	io.WriteString(conn, request)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("read answer: %v", err)
	}
	return string(answer)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func headLines(head string) []string {
	lines := strings.Split(strings.TrimSpace(head), "\r\n")
	return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Date: ") })
}

func wantLines(t *testing.T, name, head string, want ...string) {
	t.Helper()
	got := headLines(head)
	slices.Sort(got[1:])
	slices.Sort(want[1:])
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", name, got, want)
	}
}
