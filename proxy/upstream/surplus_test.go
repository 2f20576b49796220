package upstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/policy/httpcache"
)

// Whatever an upstream sends beyond its answer is nobody's: neither of the request after that on the same connection, nor of any other.
func TestSurplusIsNobodysAnswer(t *testing.T) {
	const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
	for _, c := range []struct {
		name, method, answer string
	}{
		{"content after the head of an answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 57\r\n\r\n"},
		{"content after a 304", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n"},
		{"content after a 204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"content after its announced length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{"content after the last chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var conns sync.WaitGroup
			defer conns.Wait()
			defer ln.Close()
			conns.Go(func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					conns.Go(func() {
						defer conn.Close()
						for r := bufio.NewReader(conn); ; {
							req, err := http.ReadRequest(r)
							if err != nil {
								return
							}
							if req.URL.Path == "/surplus" {
								_, err = io.WriteString(conn, c.answer+forged)
							} else {
								_, err = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path)
							}
							if err != nil {
								return
							}
						}
					})
				}
			})
			o := New(Options{Name: "test", URL: &url.URL{Scheme: "http", Host: ln.Addr().String()}, MaxInFlight: 8})
			defer o.CloseIdle()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ask := func(method, path string) (string, error) {
				req := request(t, o, method, nil).WithContext(ctx)
				SetTarget(req, o.URL(), httpcache.Target{Path: path})
				res, err := o.RoundTrip(req)
				if err != nil {
					return "", err
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				return string(body), err
			}
			var clients sync.WaitGroup
			for client := range 4 {
				clients.Go(func() {
					for n := range 300 {
						if n%3 == client%3 {
							if _, err := ask(c.method, "/surplus"); err != nil && !strings.Contains(err.Error(), "EOF") {
								t.Errorf("surplus: %v", err)
							}
							continue
						}
						path := fmt.Sprintf("/%d/%d", client, n)
						if got, err := ask("GET", path); err != nil || got != path {
							t.Errorf("the answer to %s is %q, %v", path, got, err)
							return
						}
					}
				})
			}
			clients.Wait()
		})
	}
}

// After HEAD no connection is used again, with content or without, since what an upstream sends beyond its answer may come when the
// next request was written.
func TestNothingFollowsHead(t *testing.T) {
	for _, content := range []string{"", "content"} {
		var mu sync.Mutex
		on := map[string][]string{} // methods by connection
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			mu.Lock()
			defer mu.Unlock()
			on[r.RemoteAddr] = append(on[r.RemoteAddr], r.Method)
		}))
		defer api.Close()
		at, err := url.Parse(api.URL)
		if err != nil {
			t.Fatal(err)
		}
		o := New(Options{Name: "test", URL: at, MaxInFlight: 8})
		defer o.CloseIdle()
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for n := range 200 {
					method, body := "GET", io.Reader(http.NoBody)
					if n%3 == 0 {
						method = "HEAD"
						if content != "" {
							body = strings.NewReader(content)
						}
					}
					res, err := o.RoundTrip(request(t, o, method, body))
					if err != nil {
						t.Errorf("%s: %v", method, err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		}
		clients.Wait()
		for _, methods := range on {
			if at := slices.Index(methods, "HEAD"); at >= 0 && at < len(methods)-1 {
				t.Errorf("HEAD with content %q: a connection carried %v after it", content, methods[at+1:])
				break
			}
		}
	}
}
