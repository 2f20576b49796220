package pass

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cacheproxy/proxy/server"
	"cacheproxy/test/wire"
)

// What net/http does to a response that it may improve, and here may not. Without a flush in between, so that it
// could.
func TestWriterLeavesNothingToNetHTTP(t *testing.T) {
	for _, c := range []struct {
		name string
		use  func(*writer)
		want []string
		body string
	}{
		{"no guessed type", func(w *writer) { io.WriteString(w, "<html>") },
			[]string{"HTTP/1.1 200 OK", "Connection: close", "Content-Length: 6"}, "<html>"},
		{"no calculated length", func(w *writer) { w.unmeasured = true; io.WriteString(w, "x") },
			[]string{"HTTP/1.1 200 OK", "Connection: close", "Transfer-Encoding: chunked"}, "1\r\nx\r\n0\r\n\r\n"},
		{"one final head", func(w *writer) { w.WriteHeader(404); w.WriteHeader(500) },
			[]string{"HTTP/1.1 404 Not Found", "Connection: close", "Content-Length: 0"}, ""},
	} {
		addr := wire.Serve(t, server.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.use(newWriter(w, r)) }),
			server.Options{Connections: server.NewConnections(server.Limits{}), Log: slog.New(slog.DiscardHandler)}), wire.Listen(t))
		head, body, _ := strings.Cut(wire.Send(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "\r\n\r\n")
		wire.WantLines(t, c.name, head, c.want...)
		if body != c.body {
			t.Errorf("%s: body %q, want %q", c.name, body, c.body)
		}
	}
}

// Fields of a 103 belong to it alone, those set beforehand to the final head alone, and one 100 is enough.
func TestWriterKeepsHeadsApart(t *testing.T) {
	addr := wire.Serve(t, server.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Before", "1")
		pw := newWriter(w, r)
		pw.Header().Set("Link", "</a>")
		pw.Header().Set("Keep-Alive", "5")
		pw.WriteHeader(http.StatusEarlyHints)
		clear(pw.Header())
		pw.Header().Set("X-Gathering", "1")
		pw.invite()
		pw.invite()
		pw.WriteHeader(http.StatusNoContent)
	}), server.Options{Connections: server.NewConnections(server.Limits{}), Log: slog.New(slog.DiscardHandler)}), wire.Listen(t))
	heads := strings.Split(wire.Send(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"), "\r\n\r\n")
	if len(heads) != 4 {
		t.Fatalf("%q", heads)
	}
	wire.WantLines(t, "hints", heads[0], "HTTP/1.1 103 Early Hints", "Link: </a>")
	wire.WantLines(t, "invitation", heads[1], "HTTP/1.1 100 Continue")
	wire.WantLines(t, "final", heads[2], "HTTP/1.1 204 No Content", "Connection: close", "X-Before: 1", "X-Gathering: 1")
}

// A 101 that comes like an informational response, as over HTTP/2, is not passed on: it would be the last head.
func TestSwitchIsNoInformationalResponse(t *testing.T) {
	rec := httptest.NewRecorder()
	w := newWriter(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	w.WriteHeader(http.StatusSwitchingProtocols)
	w.WriteHeader(http.StatusNoContent)
	if rec.Code != http.StatusNoContent {
		t.Errorf("status %d", rec.Code)
	}
}
