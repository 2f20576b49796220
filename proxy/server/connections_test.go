package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A full set gives up the connections that wait longest, whether for a first request, another, or the rest of a header.
func TestReclaim(t *testing.T) {
	inFront(t, Limits{MaxConnections: 3, IdleTimeout: time.Hour, ReadHeaderTimeout: time.Hour}, func(s *front) {
		pause := func() { <-time.After(time.Second) }
		silent := s.dial()
		pause()
		half := s.dial()
		io.WriteString(half, "GET / HTTP/1.1\r\nHost:")
		pause()
		kept := s.dial()
		s.ask(kept, "/")
		pause()
		for i, victim := range []net.Conn{silent, half, kept} {
			if !isOpen(victim) {
				t.Fatalf("connection %d was closed before its time", i)
			}
			s.ask(s.dial(), "/")
			if isOpen(victim) {
				t.Errorf("connection %d is open: it has waited longest", i)
			}
			pause()
		}
		if n := s.conns.Counts(); n.Open != 3 || n.Reclaimed != 3 {
			t.Errorf("counts %+v", n)
		}
	})
}

// Where every connection is at work the next one waits for a place, and gets it.
func TestFull(t *testing.T) {
	inFront(t, Limits{MaxConnections: 2}, func(s *front) {
		release := make(chan struct{})
		s.handle = func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-release
			}
		}
		for range 2 {
			fmt.Fprint(s.dial(), "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		synctest.Wait()
		late := s.dial()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			s.ask(late, "/")
		}()
		<-time.After(time.Minute)
		if n := s.conns.Counts(); n.Open != 2 || n.AtWork != 2 || n.Reclaimed != 0 {
			t.Errorf("counts %+v", n)
		}
		select {
		case <-answered:
			t.Error("answered beyond the limit")
		default:
		}
		close(release)
		<-answered
	})
}

// One client has no more connections than it may.
func TestConnectionsPerClient(t *testing.T) {
	inFront(t, Limits{MaxPerClient: 2}, func(s *front) {
		first, second, third := s.dial(), s.dial(), s.dial()
		s.ask(first, "/")
		s.ask(second, "/")
		if isOpen(third) {
			t.Error("the third connection was let in")
		}
		first.Close()
		synctest.Wait()
		s.ask(s.dial(), "/")
		if n := s.conns.Counts(); n.Refused != 1 {
			t.Errorf("counts %+v", n)
		}
	})
}

// A client that resets its requests early, over and over, loses its connection (CVE-2023-44487); one that does so now
// and then keeps it.
func TestResets(t *testing.T) {
	for _, c := range []struct{ requests, oneIn, flooding int }{{resetsAllowed + 10, 1, 1}, {3 * (resetsAllowed + 10), 3, 0}} {
		inFront(t, Limits{}, func(s *front) {
			s.handle = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/reset" {
					<-r.Context().Done()
				}
			}
			client := s.http2()
			for n := range c.requests {
				ctx, cancel := context.WithCancel(s.t.Context())
				path := "/"
				if n%c.oneIn == 0 {
					path = "/reset"
					time.AfterFunc(time.Millisecond, cancel)
				}
				req, err := http.NewRequestWithContext(ctx, "GET", "http://a"+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if res, err := client.Do(req); err == nil {
					res.Body.Close()
				}
				cancel()
				synctest.Wait()
			}
			if n := s.conns.Counts().Flooding; int(n) != c.flooding || s.dials != c.flooding+1 {
				t.Errorf("one in %d reset: %d connections closed for it, %d opened", c.oneIn, n, s.dials)
			}
		})
	}
}

// Clients of a server that is about to end are asked to go, and those that wait are answered before it ends.
func TestRetire(t *testing.T) {
	inFront(t, Limits{}, func(s *front) {
		conn, client := s.dial(), s.http2()
		if res := s.ask(conn, "/"); res.Close {
			t.Error("asked to close before the end")
		}
		if _, err := client.Get("http://a/"); err != nil {
			t.Fatal(err)
		}
		s.conns.Retire()
		if res := s.ask(conn, "/"); !res.Close {
			t.Error("HTTP/1.1: not asked to close")
		}
		before := s.dials
		for range 2 { // the second goes where the first was not told to leave
			if _, err := client.Get("http://a/"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if s.dials != before+1 {
			t.Errorf("HTTP/2: %d new connections after GOAWAY, want 1", s.dials-before)
		}
	})
}

// The end waits for requests, upgraded connections and new ones whose first request is on its way, up to a limit; what is
// left then is closed, and its handlers end.
func TestSettle(t *testing.T) {
	inFront(t, Limits{}, func(s *front) {
		release := make(chan struct{})
		s.handle = func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow":
				<-release
			case "/upgrade":
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				io.Copy(io.Discard, conn) // until somebody closes it
			}
		}
		settle := func(d time.Duration) int {
			ctx, cancel := context.WithTimeout(s.t.Context(), d)
			defer cancel()
			return s.conns.Settle(ctx)
		}
		idle, slow, upgraded := s.dial(), s.dial(), s.dial()
		s.ask(idle, "/")
		fmt.Fprint(slow, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		fmt.Fprint(upgraded, "GET /upgrade HTTP/1.1\r\nHost: a\r\n\r\n")
		fresh := s.dial()
		synctest.Wait()
		if left := settle(time.Second); left != 3 {
			t.Errorf("%d connections hold up the end, want the slow one, the upgraded one and the new one", left)
		}
		s.ask(fresh, "/")
		close(release)
		if left := settle(time.Minute); left != 1 {
			t.Errorf("%d connections hold up the end, want the upgraded one", left)
		}
		if left := s.conns.Gone(s.t.Context()); left != 0 || isOpen(upgraded) {
			t.Errorf("%d requests left", left)
		}
		if left := settle(time.Second); left != 0 {
			t.Errorf("%d connections left", left)
		}
	})
}
