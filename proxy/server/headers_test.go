package server

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Long headers that are on their way, or of requests at work, take no more memory together than there is for them. Who has a short one
// does not notice.
func TestHeadersAreBounded(t *testing.T) {
	inFront(t, Limits{ReadHeaderTimeout: time.Hour, BodyTimeout: time.Hour}, func(s *front) {
		s.handle = func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			answerOK(w, r)
		}
		line := "X-Long: " + strings.Repeat("x", 6000) + "\r\n"
		for _, c := range []struct{ what, rest string }{
			{"on their way", ""},
			{"of requests at work", "Content-Length: 3\r\n\r\nx"},
		} {
			var conns []net.Conn
			const each = 9
			for range headerMemory/(each*6000-ownHeader) + 50 {
				conn := s.dial()
				conns = append(conns, conn)
				if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat(line, each)+c.rest); err != nil {
					break // it is closed, for want of memory
				}
			}
			synctest.Wait()
			if n := s.conns.headers.Load(); n > headerMemory+64<<10 || n < headerMemory*9/10 {
				t.Errorf("%s: %d bytes are counted, of %d", c.what, n, headerMemory)
			}
			if s.conns.Counts().Headerless == 0 {
				t.Errorf("%s: nothing was refused", c.what)
			}
			if res := s.ask(s.dial(), "/"); res.StatusCode != 200 {
				t.Errorf("%s: another client: %d", c.what, res.StatusCode)
			}
			for _, conn := range conns {
				conn.Close()
			}
			synctest.Wait()
			if n := s.conns.headers.Load(); n != 0 {
				t.Errorf("%s: %d bytes are counted in the end", c.what, n)
			}
			s.conns.headerless.Store(0)
		}
		// A connection that is kept counts each header once.
		conn := s.dial()
		for range 3 {
			if res := s.ask(conn, "/?"+strings.Repeat("x", 20000)); res.StatusCode != 200 {
				t.Errorf("again: %d", res.StatusCode)
			}
			synctest.Wait()
			if n := s.conns.headers.Load(); n != 0 {
				t.Errorf("%d bytes are counted between requests", n)
			}
		}
	})
}

// The streams of HTTP/2 are as many together as connections may be.
func TestStreamsAreBounded(t *testing.T) {
	inFront(t, Limits{MaxConnections: 5}, func(s *front) {
		wait := make(chan struct{})
		s.handle = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-wait
			}
			answerOK(w, r)
		}
		client := s.http2()
		get := func(path string) (int, string) {
			res, err := client.Get("http://a" + path)
			if err != nil {
				t.Error(err)
				return 0, ""
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
			return res.StatusCode, res.Header.Get("Retry-After")
		}
		get("/") // one connection for all
		var slow sync.WaitGroup
		for range 5 {
			slow.Go(func() {
				if status, _ := get("/slow"); status != 200 {
					t.Errorf("one of five: %d", status)
				}
			})
		}
		synctest.Wait()
		if status, again := get("/"); status != 503 || again == "" {
			t.Errorf("one more: %d, Retry-After %q", status, again)
		}
		if res := s.ask(s.dial(), "/"); res.StatusCode != 200 {
			t.Errorf("over HTTP/1.1: %d", res.StatusCode)
		}
		close(wait)
		slow.Wait()
		if status, _ := get("/"); status != 200 {
			t.Errorf("afterwards: %d", status)
		}
		synctest.Wait()
		if n, headers := s.conns.streams.Load(), s.conns.headers.Load(); n != 0 || headers != 0 {
			t.Errorf("%d streams and %d bytes of headers are counted in the end", n, headers)
		}
	})
}
