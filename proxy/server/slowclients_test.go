package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A client that takes nothing is cut off, over HTTP/1.1 and where only the window of its HTTP/2 stream is shut.
func TestStalledClient(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			inFront(t, Limits{WriteTimeout: time.Minute}, func(s *front) {
				ended := make(chan time.Duration, 1)
				s.handle = func(w http.ResponseWriter, r *http.Request) {
					if r.Proto != protocol {
						t.Errorf("asked over %s", r.Proto)
					}
					start := time.Now()
					_, err := w.Write(make([]byte, 16<<20))
					if err == nil {
						t.Error("the whole answer was written")
					}
					ended <- time.Since(start)
				}
				if protocol == "HTTP/1.1" {
					io.WriteString(s.dial(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				} else {
					res, err := s.http2().Get("http://a/")
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
				}
				if took := <-ended; took != time.Minute {
					t.Errorf("cut off after %v", took)
				}
				if n := s.conns.Counts().Stalled; n != 1 {
					t.Errorf("%d stalled clients counted", n)
				}
			})
		})
	}
}

// A client that takes little, but some of it all the time, gets everything however long it lasts.
func TestSlowClient(t *testing.T) {
	const size = 500 // KiB
	inFront(t, Limits{WriteTimeout: time.Minute}, func(s *front) {
		done := make(chan error, 1)
		s.handle = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size<<10))
			_, err := w.Write(make([]byte, size<<10)) // in one call, that lasts
			done <- err
		}
		conn := s.dial()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		for range size + 1 { // and the header
			<-time.After(2 * time.Second)
			if _, err := io.CopyN(io.Discard, conn, 1<<10); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			if len(done) > 0 {
				break
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A client that takes a byte now and then takes nothing.
func TestTricklingClient(t *testing.T) {
	inFront(t, Limits{WriteTimeout: time.Minute}, func(s *front) {
		ended := make(chan time.Duration, 1)
		s.handle = func(w http.ResponseWriter, _ *http.Request) {
			start := time.Now()
			if _, err := w.Write(make([]byte, 1<<20)); err == nil {
				t.Error("the whole answer was written")
			}
			ended <- time.Since(start)
		}
		conn := s.dial()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		for len(ended) == 0 {
			<-time.After(30 * time.Second)
			conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			conn.Read(make([]byte, 1)) // at its end there is nothing to take
		}
		if took := <-ended; took > time.Hour {
			t.Errorf("cut off after %v", took)
		}
	})
}

// A stream that says nothing for long is not a client that takes nothing.
func TestSilentStream(t *testing.T) {
	inFront(t, Limits{}, func(s *front) {
		s.handle = func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				io.WriteString(w, "tick\n")
				http.NewResponseController(w).Flush()
				<-time.After(time.Hour)
			}
		}
		res, err := s.http2().Get("http://a/")
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || len(body) != 15 {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// A body lasts as long as it comes, and no longer (HTTP/1.1).
func TestSilentBody(t *testing.T) {
	inFront(t, Limits{BodyTimeout: 30 * time.Second}, func(s *front) {
		s.handle = readBody
		conn := s.dial()
		start := time.Now()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
		for range 5 {
			<-time.After(20 * time.Second)
			io.WriteString(conn, strings.Repeat("x", 20*minRate))
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if took := time.Since(start); err != nil || res.StatusCode != 408 || string(body) != "50000 bytes" || !res.Close || took != 130*time.Second {
			t.Errorf("after %v: %d %q, %v, closing %v", took, res.StatusCode, body, err, res.Close)
		}
		if isOpen(conn) {
			t.Error("the connection is open")
		}
	})
}

// What nobody reads of a body holds up the answer and the connection for no longer than a body that is read, and a claim
// to be gRPC changes nothing: there is none over HTTP/1.1.
func TestUnreadBody(t *testing.T) {
	for _, c := range []struct{ name, fields, body, status, rest string }{
		{"refused unread", "Content-Length: 1000", "x", "403", "no\n"},
		{"refused unread, chunked", "Transfer-Encoding: chunked", "1\r\nx\r\n", "403", "no\n"},
		{"called gRPC", "Content-Type: application/grpc\r\nX-Read: it\r\nContent-Length: 1000", "x", "408", "1 bytes"},
	} {
		inFront(t, Limits{BodyTimeout: 30 * time.Second, IdleTimeout: time.Hour}, func(s *front) {
			s.handle = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Read") != "" {
					readBody(w, r)
					return
				}
				http.Error(w, "no", http.StatusForbidden)
			}
			conn := s.dial()
			start := time.Now()
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\n"+c.fields+"\r\n\r\n"+c.body)
			said, err := io.ReadAll(conn)
			if took := time.Since(start); err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 "+c.status) || !strings.HasSuffix(string(said), c.rest) || took > 31*time.Second {
				t.Errorf("%s: after %v: %q, %v", c.name, took, said, err)
			}
			// What comes after all is read, and the connection kept.
			conn = s.dial()
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
			<-time.After(20 * time.Second)
			io.WriteString(conn, "x")
			if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 403 || res.Close {
				t.Errorf("%s: a body that comes: %v, %v", c.name, res, err)
			}
			<-time.After(20 * time.Second)
			if !isOpen(conn) {
				t.Errorf("%s: a connection that may wait is closed", c.name)
			}
		})
	}
}

// The same over HTTP/2, where the body of a gRPC call may pause.
func TestSilentStreamBody(t *testing.T) {
	for _, c := range []struct {
		contentType string
		pause       time.Duration
		part        int
		status      int
		body        string
	}{
		{"text/plain", 29 * time.Second, 29 * minRate, 200, "72500 bytes"},
		{"text/plain", 31 * time.Second, 31 * minRate, 408, "0 bytes"},
		{"text/plain", 9 * time.Second, 1, 408, "3 bytes"}, // never silent for long, and yet it would never end
		{"application/grpc+proto", time.Hour, 1, 200, "5 bytes"},
	} {
		inFront(t, Limits{BodyTimeout: 30 * time.Second}, func(s *front) {
			s.handle = readBody
			r, w := io.Pipe()
			var sending sync.WaitGroup
			defer sending.Wait()
			defer r.Close()
			sending.Go(func() {
				defer w.Close()
				for range 5 {
					<-time.After(c.pause)
					if _, err := io.WriteString(w, strings.Repeat("x", c.part)); err != nil {
						return
					}
				}
			})
			res, err := s.http2().Post("http://a/", c.contentType, r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != c.status || string(body) != c.body {
				t.Errorf("%s, %d bytes every %v: %d %q, %v", c.contentType, c.part, c.pause, res.StatusCode, body, err)
			}
		})
	}
}

// readBody tells how much of a body came, and what a client is told where it did not come whole.
// A body that nobody wants in time may come as slowly as its client likes, and its connection is kept.
func TestUnboundBody(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		inFront(t, Limits{BodyTimeout: 30 * time.Second, IdleTimeout: time.Hour}, func(s *front) {
			s.handle = func(w http.ResponseWriter, r *http.Request) {
				Unbound(r)
				readBody(w, r)
			}
			slow := func(w io.Writer) {
				for range 3 {
					<-time.After(10 * time.Minute)
					io.WriteString(w, "x")
				}
			}
			var res *http.Response
			var err error
			if protocol == "HTTP/1.1" {
				conn := s.dial()
				io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
				slow(conn)
				res, err = http.ReadResponse(bufio.NewReader(conn), nil)
			} else {
				r, w := io.Pipe()
				go func() {
					slow(w)
					w.Close()
				}()
				res, err = s.http2().Post("http://a/", "text/plain", r)
			}
			if err != nil {
				t.Fatalf("%s: %v", protocol, err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || string(body) != "3 bytes" || res.Close {
				t.Errorf("%s: %d %q, %v", protocol, res.StatusCode, body, err)
			}
		})
	}
}

func readBody(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.WriteHeader(http.StatusRequestTimeout)
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	}
	fmt.Fprintf(w, "%d bytes", len(body))
}
