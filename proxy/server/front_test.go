package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"cacheproxy/test/bubbles"
)

// front is a data listener's server with nothing but memory between it and its clients, so that synctest can turn the clock.
type front struct {
	t     *testing.T
	conns *Connections
	ln    *pipes
	srv   *http.Server
	dials int
	// handle answers; set before the first request.
	handle http.HandlerFunc
}

// inFront runs f with a server on a clock of its own.
func inFront(t *testing.T, l Limits, f func(*front)) {
	t.Helper()
	inFrontOf(t, l, func(ln net.Listener) net.Listener { return ln }, f)
}

// inFrontOf does so with the connections that wrap makes.
func inFrontOf(t *testing.T, l Limits, wrap func(net.Listener) net.Listener, f func(*front)) {
	t.Helper()
	inFrontWith(t, l, Options{H2C: true}, wrap, f)
}

// inFrontWith does so with other options.
func inFrontWith(t *testing.T, l Limits, o Options, wrap func(net.Listener) net.Listener, f func(*front)) {
	t.Helper()
	bubbles.Test(t, func(t *testing.T) {
		s := &front{t: t, conns: NewConnections(l), ln: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, handle: answerOK}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handle(w, r) })
		o.Connections, o.Log = s.conns, slog.New(slog.DiscardHandler)
		s.srv = New(h, o)
		listener := s.conns.Listen(wrap(s.ln))
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := s.srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		defer func() {
			s.srv.Close()
			if left := s.conns.Gone(t.Context()); left > 0 {
				t.Errorf("%d requests do not end", left)
			}
			serving.Wait()
		}()
		f(s)
	})
}

// dial connects a client.
func (s *front) dial() net.Conn {
	s.t.Helper()
	conn, err := s.ln.dial(s.t.Context(), "", "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	s.dials++
	return conn
}

// http2 is a client that speaks HTTP/2 over one connection at a time.
func (s *front) http2() *http.Client {
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return s.dial(), nil },
		Protocols:   new(http.Protocols),
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask sends a request over a connection and returns its answer.
func (s *front) ask(conn net.Conn, path string) *http.Response {
	s.t.Helper()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		s.t.Fatal(err)
	}
	return res
}

// open reports whether the server still has a connection open.
func isOpen(conn net.Conn) bool {
	conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func answerOK(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }
