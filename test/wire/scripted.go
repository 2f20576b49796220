package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Scripted is an upstream that answers with the bytes that the query's "answer" holds, and then waits for the other end of the
// connection to close, unless they end in "!": then the upstream breaks off. Many connections are served at once, and counted.
type Scripted struct {
	URL  *url.URL
	Open atomic.Int64  // connections
	Asks chan struct{} // gets a value when a request has come whole; nobody has to take it
}

// NewScripted starts an upstream, which ends with the test.
func NewScripted(t testing.TB) *Scripted {
	t.Helper()
	ln := Listen(t)
	s := &Scripted{URL: &url.URL{Scheme: "http", Host: ln.Addr().String()}, Asks: make(chan struct{}, 1)}
	var serving sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(func() { ln.Close(); end(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.Open.Add(1)
			serving.Go(func() {
				defer s.Open.Add(-1)
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				s.serve(conn)
			})
		}
	})
	return s
}

func (s *Scripted) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		select {
		case s.Asks <- struct{}{}:
		default:
		}
		answer, breaks := strings.CutSuffix(req.URL.Query().Get("answer"), "!")
		if io.WriteString(conn, answer); breaks {
			return
		}
	}
}
