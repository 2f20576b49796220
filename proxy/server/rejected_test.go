package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cacheproxy/test/wire"
)

// rejections are those that a server tells of.
type rejections struct {
	mu  sync.Mutex
	all []string
}

func (r *rejections) add(client netip.Addr, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fmt.Sprint(client, " ", status))
}

func (r *rejections) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.all = nil }()
	return strings.Join(r.all, ", ")
}

// Every answer that the handler has not made is told, with who got it, and no other is.
func TestRejected(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := writeCertificate(t, certFile, keyFile, "server")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var told rejections
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, strings.Repeat("a", 200), http.StatusBadRequest) // an error of the handler's own
	})
	serve := func(c *Certificate) string {
		all := NewConnections(Limits{})
		o := Options{Certificate: c, Connections: all, Rejected: told.add, Log: slog.New(slog.DiscardHandler)}
		return wire.Serve(t, New(handler, o), all.Listen(wire.Listen(t)))
	}
	plain, secure := serve(nil), serve(NewCertificate(pair, 0))
	const good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	long := "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n"
	for _, c := range []struct {
		about, send string
		want        string // in a status line of the answers
		told        string
		toldSecure  string
	}{
		{"a request", good + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "400 Bad Request", "", ""},
		{"no request", "nonsense\r\n\r\n", "400 Bad Request", "127.0.0.1 400", "127.0.0.1 400"},
		{"no request after one", good + "GET / HTTP/1.1\r\nHost: a\r\n Host: b\r\n\r\n", "400 Bad Request", "127.0.0.1 400", "127.0.0.1 400"},
		{"a header that is too long", long, "431 Request Header Fields Too Large", "127.0.0.1 431", "127.0.0.1 431"},
		{"a coding that nobody knows", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: zip\r\n\r\n", "501 Not Implemented", "127.0.0.1 501", "127.0.0.1 400"},
		{"a version that nobody knows", "GET / HTTP/3.9\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported", "127.0.0.1 505", "127.0.0.1 400"},
		{"HTTP/1.0 with a coding", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request", "127.0.0.1 400", ""},
		{"half a head", "GET / HT", "400 Bad Request", "127.0.0.1 400", "127.0.0.1 400"},
		{"nothing", "", "", "", ""},
	} {
		for _, over := range []string{"plain", "TLS"} {
			t.Run(c.about+", "+over, func(t *testing.T) {
				want, conn := c.told, dial(t, plain)
				if over == "TLS" {
					want = c.toldSecure
					conn = tls.Client(dial(t, secure), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}})
				}
				if _, err := io.WriteString(conn, c.send); err != nil {
					t.Fatal(err)
				}
				if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(conn)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(answer), c.want) {
					t.Errorf("answer %q, want %s", answer, c.want)
				}
				if got := told.take(); got != want {
					t.Errorf("told %q, want %q", got, want)
				}
			})
		}
	}
	// HTTP/2 is not watched, and not misunderstood either.
	if body, _ := get(t, transportFor(pool, (*http.Protocols).SetHTTP2), "https://"+secure+"/"); !strings.HasPrefix(body, "aaa") {
		t.Errorf("HTTP/2: %q", body)
	}
	if got := told.take(); got != "" {
		t.Errorf("HTTP/2: told %q", got)
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
