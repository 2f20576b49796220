// Package wire gives tests the two ends of a connection as bytes: clients that send what stands in the test, and upstreams that
// answer with it, so that nothing but the code under test speaks HTTP.
package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long a client waits for what has to come.
const patience = 20 * time.Second

// Listen opens a listener on a free port of the loopback. The server that it is given to closes it.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// Serve runs srv on ln until the test ends, with TLS where srv has a configuration for it, and returns ln's address.
func Serve(t testing.TB, srv *http.Server, ln net.Listener) string {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			ended <- srv.ServeTLS(ln, "", "")
			return
		}
		ended <- srv.Serve(ln)
	}()
	t.Cleanup(func() {
		srv.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// Dial connects a client. It fails the test's reads and writes after 20 s, and is closed at the end of the test.
func Dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// Send sends a request as it stands and returns everything that comes back until the connection is closed.
func Send(t testing.TB, addr, request string) string {
	t.Helper()
	conn := Dial(t, addr)
	io.WriteString(conn, request)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("read answer: %v", err)
	}
	return string(answer)
}

// Upstream is an upstream written by hand: f gets every connection, one after the other, which is closed when f returns.
func Upstream(t testing.TB, f func(net.Conn, *bufio.Reader)) *url.URL {
	t.Helper()
	ln := Listen(t)
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

// ReadHead returns a message's start line and fields as they are on the wire, or what there is of them.
func ReadHead(r *bufio.Reader) string {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String()
		}
	}
}

// Lines are the start line and the fields of a head, without Date.
func Lines(head string) []string {
	lines := strings.Split(strings.TrimSpace(head), "\r\n")
	return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Date: ") })
}

// WantLines compares a head with the lines that it should have: the start line, and the fields in any order.
func WantLines(t testing.TB, name, head string, want ...string) {
	t.Helper()
	got := Lines(head)
	slices.Sort(got[1:])
	slices.Sort(want[1:])
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", name, got, want)
	}
}

// WaitFor polls a condition that other goroutines bring about, for 10 s.
func WaitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatal("the condition did not come about")
}
