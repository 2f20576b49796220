package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/test/wire"
)

// The connection of a client that has sent all of its body is kept, however early the answer comes: before the transport has come to
// the end of what was received, or without the origin having read any of it.
func TestConnectionIsKeptAfterSmallWrites(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			io.Copy(io.Discard, r.Body)
		}
		io.WriteString(w, "done")
	}
	r := newRig(t, backend, rigOptions{}, routeFor(t, "pass", func(r *policy.Route) { r.Policy = policy.Bypass }, "/"))
	all := server.NewConnections(server.Limits{})
	addr := wire.Serve(t, server.New(r.proxy, server.Options{Connections: all, Log: slog.New(slog.DiscardHandler)}), all.Listen(wire.Listen(t)))
	for _, path := range []string{"/read", "/ignored"} {
		conn := wire.Dial(t, addr)
		said, closed := bufio.NewReader(conn), 0
		for i := range 300 {
			n := 1 + i*53%(maxGatheredAhead-1)
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", path, n, strings.Repeat("x", n))
			res, err := http.ReadResponse(said, nil)
			if err != nil {
				t.Fatalf("%s, request %d: %v", path, i, err)
			}
			io.Copy(io.Discard, res.Body)
			if res.Close {
				closed++
				conn = wire.Dial(t, addr)
				said = bufio.NewReader(conn)
			}
		}
		if closed != 0 {
			t.Errorf("%s: %d of 300 connections were closed", path, closed)
		}
		conn.Close()
	}
}

// A body that is too large by its own word is refused at once, before any of it has come.
func TestTooLargeIsRefusedAtOnce(t *testing.T) {
	for _, limits := range []struct{ most, says int64 }{{1 << 10, 2 << 10}, {1 << 10, 200 << 10}, {1 << 20, 1 << 40}} {
		route := routeFor(t, "all", nil, "/")
		inBubble(t, func(http.ResponseWriter, *http.Request) { t.Error("the origin was asked") }, rigOptions{maxBody: limits.most}, route, func(b *bubble) {
			all := server.NewConnections(server.Limits{BodyTimeout: 30 * time.Second})
			ln := newPipes()
			s := server.New(b.proxy, server.Options{Connections: all, Log: slog.New(slog.DiscardHandler)})
			ended := make(chan struct{})
			go func() { s.Serve(all.Listen(ln)); close(ended) }()
			conn, err := ln.dial(b.t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nx", limits.says)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); res.StatusCode != http.StatusRequestEntityTooLarge || took > 0 || !res.Close {
				t.Errorf("%d bytes: %d after %v, closing %v", limits.says, res.StatusCode, took, res.Close)
			}
			conn.Close()
			s.Close()
			<-ended
			synctest.Wait()
		})
	}
}
