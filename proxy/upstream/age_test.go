package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/test/bubbles"
)

// A connection that is in use all the time is given up for another after its age, and the name asked for anew: the requests move to
// where it leads by then. What is under way ends where it is, and no connection is left behind.
func TestConnectionsAge(t *testing.T) {
	for _, c := range []struct {
		age, least, most time.Duration // until the last request at the old address
	}{
		{0, 3 * defaultMaxAge / 4, defaultMaxAge},
		{10 * time.Second, 7 * time.Second, 10 * time.Second},
		{-1, time.Hour, time.Hour},
	} {
		bubbles.Test(t, func(t *testing.T) {
			ln := pipeListener{conns: make(chan net.Conn)}
			var moved atomic.Bool
			var open sync.WaitGroup
			server := &http.Server{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == "POST" {
						w.WriteHeader(200)
						w.(http.Flusher).Flush()
						<-time.After(2 * time.Hour)
					}
					io.WriteString(w, r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
				}),
				ConnState: func(_ net.Conn, s http.ConnState) {
					switch s {
					case http.StateNew:
						open.Add(1)
					case http.StateClosed:
						open.Done()
					}
				},
			}
			ended := make(chan struct{})
			go func() { server.Serve(ln); close(ended) }()
			u := New(Options{Name: "moves", URL: &url.URL{Scheme: "http", Host: "name.test"}, ReadTimeout: 3 * time.Hour, MaxConnectionAge: c.age, Dial: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				ln.conns <- placed{far, map[bool]string{false: "old", true: "new"}[moved.Load()]}
				return near, nil
			}})
			long, err := u.RoundTrip(request(t, u, "POST", nil))
			if err != nil {
				t.Fatal(err)
			}
			ask := func() string {
				res, err := u.RoundTrip(request(t, u, "GET", nil))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, _ := io.ReadAll(res.Body)
				return string(body)
			}
			if at := ask(); at != "old" {
				t.Errorf("at first at %s", at)
			}
			moved.Store(true)
			var last time.Duration
			for start := time.Now(); time.Since(start) < time.Hour; <-time.After(time.Second) {
				if ask() == "old" {
					last = time.Since(start) + time.Second
				}
			}
			if last < c.least || last > c.most {
				t.Errorf("age %v: the last request at the old address after %v, want %v to %v", c.age, last, c.least, c.most)
			}
			if body, err := io.ReadAll(long.Body); string(body) != "old" || err != nil {
				t.Errorf("what was under way: %q, %v", body, err)
			}
			long.Body.Close()
			u.CloseIdle()
			open.Wait() // those of before, too
			wantNothingLeft(t, u)
			close(ln.conns)
			<-ended
		})
	}
}

// placed is a connection that says where it is.
type placed struct {
	net.Conn
	at string
}

func (p placed) LocalAddr() net.Addr { return &net.UnixAddr{Name: p.at} }
