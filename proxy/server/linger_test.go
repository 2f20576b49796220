package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/test/wire"
)

// beyondBuffers is more than the systems of both ends hold of what nobody reads, in bytes.
const beyondBuffers = 16 << 20

// A client that sends all of its body before it reads gets the answer that came long before, however the connection would have
// ended.
func TestAnswerIsNotLost(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		if limit := r.Header.Get("X-Limit"); limit != "" {
			_, _ = io.Copy(io.Discard, http.MaxBytesReader(struct{ http.ResponseWriter }{w}, r.Body, 1<<20))
		}
		http.Error(w, "no", http.StatusRequestEntityTooLarge)
	}
	direct, retired := NewConnections(Limits{}), NewConnections(Limits{})
	retired.Retire()
	served := func(all *Connections) string {
		return wire.Serve(t, New(http.HandlerFunc(refuse), Options{Connections: all, Log: slog.New(slog.DiscardHandler)}), all.Listen(wire.Listen(t)))
	}
	here, leaving := served(direct), served(retired)
	for _, c := range []struct{ name, address, line, fields string }{
		{"refused here", here, "POST / HTTP/1.1", ""},
		{"refused here, half read", here, "POST / HTTP/1.1", "X-Limit: yes\r\n"},
		{"of a client that closes", here, "POST / HTTP/1.1", "Connection: close\r\n"},
		{"of a client that closes, half read", here, "POST / HTTP/1.1", "X-Limit: yes\r\nConnection: close\r\n"},
		{"of HTTP/1.0", here, "POST / HTTP/1.0", ""},
		{"by a server that leaves", leaving, "POST / HTTP/1.1", ""},
	} {
		for _, chunked := range []bool{false, true} {
			if chunked && strings.HasSuffix(c.line, "1.0") {
				continue
			}
			conn := wire.Dial(t, c.address)
			frame, body := fmt.Sprintf("Content-Length: %d\r\n", beyondBuffers), bytes.Repeat([]byte{'x'}, beyondBuffers)
			if chunked {
				frame, body = "Transfer-Encoding: chunked\r\n", bytes.Repeat([]byte("10\r\n0123456789abcdef\r\n"), beyondBuffers/22)
			}
			fmt.Fprintf(conn, "%s\r\nHost: a\r\n%s%s\r\n", c.line, c.fields, frame)
			if _, err := conn.Write(body); err != nil {
				t.Errorf("%s, chunked %v: %v", c.name, chunked, err)
				continue
			}
			said, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(said), " 413 ") || !strings.Contains(string(said), "\nno\n") {
				t.Errorf("%s, chunked %v: %q, %v", c.name, chunked, said, err)
			}
		}
	}
}

// halfPipes are connections in memory of which a direction can be closed, as far as it matters: nothing follows.
type halfPipes struct{ net.Listener }

type halfPipe struct{ net.Conn }

func halved(ln net.Listener) net.Listener { return halfPipes{ln} }

func (p halfPipes) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	return halfPipe{c}, err
}

func (halfPipe) CloseWrite() error { return nil }

// What a client sends after its answer is taken for a while: not from one that is silent, not for ever, not in the place of
// another client, and not beyond the end.
func TestLingerEnds(t *testing.T) {
	answered := func(s *front) net.Conn {
		conn := s.dial()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\nx")
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 200 {
			s.t.Fatalf("%v, %v", res, err)
		}
		synctest.Wait()
		return conn
	}
	// takes is how long what a client sends every pause is taken.
	takes := func(conn net.Conn, pause time.Duration) time.Duration {
		start := time.Now()
		for {
			<-time.After(pause)
			if _, err := conn.Write([]byte("x")); err != nil {
				return time.Since(start)
			}
		}
	}
	const often = lingerFor/20 + time.Millisecond
	for pause, want := range map[time.Duration]time.Duration{lingerSilent + time.Second: lingerSilent + time.Second, often: 20 * often} {
		inFrontOf(t, Limits{}, halved, func(s *front) {
			if took := takes(answered(s), pause); took != want {
				t.Errorf("sending every %v: taken for %v, want %v", pause, took, want)
			}
			if n := s.conns.Counts().Open; n != 0 {
				t.Errorf("%d connections are open", n)
			}
		})
	}
	inFrontOf(t, Limits{MaxConnections: 1}, halved, func(s *front) {
		conn, start := answered(s), time.Now()
		if n := s.conns.Counts(); n.Open != 1 || n.AtWork != 0 {
			t.Errorf("while it lingers: %+v", n)
		}
		s.ask(s.dial(), "/")
		if _, err := conn.Write([]byte("x")); err == nil || time.Since(start) > time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
	inFrontOf(t, Limits{}, halved, func(s *front) {
		conn, start := answered(s), time.Now()
		if left := s.conns.Settle(s.t.Context()); left != 0 || time.Since(start) < lingerSilent {
			t.Errorf("settled after %v, %d left", time.Since(start), left)
		}
		_, start = answered(s), time.Now()
		s.conns.Gone(s.t.Context())
		if _, err := conn.Write([]byte("x")); err == nil || s.conns.Counts().Open != 0 || time.Since(start) > time.Second {
			t.Errorf("gone after %v: %v", time.Since(start), err)
		}
	})
}
