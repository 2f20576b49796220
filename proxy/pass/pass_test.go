package pass

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"cacheproxy/proxy/upstream"
	"cacheproxy/test/wire"
)

// What the upstream sees and what the client gets, line by line.
func TestPassIsExact(t *testing.T) {
	for _, c := range []struct {
		name             string
		request          string
		seen             []string // besides Host, Via, Forwarded and X-Forwarded-*
		answer, received string
	}{
		{
			name:     "nothing is added, cleaned or guessed",
			request:  "GET //a|b/%7E?x=%zz&;y HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n",
			seen:     []string{"GET http://shop.test//a|b/%7E?x=%zz&;y HTTP/1.1"},
			answer:   "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
			received: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n<html>",
		}, {
			name: "fields of the connection end here (RFC 9110 §7.6.1)",
			request: "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close, X-Hop, Authorization\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: gzip, trailers\r\n" +
				"Authorization: stays\r\nX-End: 1\r\nX-End: 2\r\n\r\n",
			seen:     []string{"GET / HTTP/1.1", "Te: trailers", "X-End: 1", "X-End: 2", "Authorization: stays"},
			answer:   "HTTP/1.1 200 OK\r\nConnection: X-Hop, Set-Cookie\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
			received: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n\r\n",
		}, {
			name:     "chunked stays chunked, even when empty",
			request:  "POST / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			seen:     []string{"POST / HTTP/1.1", "Transfer-Encoding: chunked"},
			answer:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			received: "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		}, {
			name:     "HEAD keeps its length",
			request:  "HEAD / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n",
			seen:     []string{"HEAD / HTTP/1.1"},
			answer:   "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nContent-Type: a/b\r\n\r\n",
			received: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1234\r\nContent-Type: a/b\r\n\r\n",
		}, {
			name:     "204",
			request:  "DELETE / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n",
			seen:     []string{"DELETE / HTTP/1.1"},
			answer:   "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
			received: "HTTP/1.1 204 No Content\r\nConnection: close\r\nX-A: b\r\n\r\n",
		}, {
			name:     "304",
			request:  "GET / HTTP/1.1\r\nHost: shop.test\r\nIf-None-Match: \"1\"\r\nConnection: close\r\n\r\n",
			seen:     []string{"GET / HTTP/1.1", "If-None-Match: \"1\""},
			answer:   "HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\n\r\n",
			received: "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nEtag: \"1\"\r\n\r\n",
		}, {
			name:     "OPTIONS * is the upstream's",
			request:  "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n",
			seen:     []string{"OPTIONS * HTTP/1.1"},
			answer:   "HTTP/1.1 200 OK\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n",
			received: "HTTP/1.1 200 OK\r\nAllow: GET\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		}, {
			name:     "a HTTP/1.0 client gets no informational response (RFC 9110 §15.2)",
			request:  "GET / HTTP/1.0\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			seen:     []string{"GET / HTTP/1.1"},
			answer:   "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
			received: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		}, {
			name:     "no way past the rules by h2c",
			request:  "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
			seen:     []string{"GET / HTTP/1.1"},
			answer:   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			received: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		},
	} {
		seen := make(chan string, 1)
		base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) {
			head := wire.ReadHead(r)
			if strings.Contains(head, "chunked") {
				wire.ReadHead(r)
			}
			seen <- head
			io.WriteString(conn, c.answer)
		})
		answer := wire.Send(t, passThrough(t, base, nil), c.request)
		got := slices.DeleteFunc(wire.Lines(<-seen), func(l string) bool {
			return strings.HasPrefix(l, "Host: shop.test") || strings.HasPrefix(l, "Via: ") || strings.HasPrefix(l, "X-Forwarded-") || strings.HasPrefix(l, "Forwarded: ")
		})
		wire.WantLines(t, c.name+": request", strings.Join(got, "\r\n"), c.seen...)
		head, body, _ := strings.Cut(answer, "\r\n\r\n")
		wantHead, wantBody, _ := strings.Cut(c.received, "\r\n\r\n")
		wire.WantLines(t, c.name+": answer", head, strings.Split(wantHead, "\r\n")...)
		if body != wantBody {
			t.Errorf("%s: body %q, want %q", c.name, body, wantBody)
		}
	}
}

func TestFullDuplex(t *testing.T) {
	addr := behind(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		control.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(bytes.ToUpper(buf[:n]))
			control.Flush()
			if err != nil {
				return
			}
		}
	})
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr, pr)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req) // the answer begins before anything was sent
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 100)
	for _, word := range []string{"one", "two", "three"} {
		io.WriteString(pw, word)
		n, err := io.ReadFull(res.Body, buf[:len(word)])
		if err != nil || string(buf[:n]) != strings.ToUpper(word) {
			t.Fatalf("sent %q, got %q: %v", word, buf[:n], err)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("end: %q, %v", rest, err)
	}
}

// RFC 9110 §6.5, announced and not.
func TestTrailers(t *testing.T) {
	seen := make(chan string, 1)
	base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) {
		wire.ReadHead(r)
		seen <- wire.ReadHead(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-More: 8\r\n\r\n")
	})
	answer := wire.Send(t, passThrough(t, base, nil), "POST / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nTE: trailers\r\nTrailer: X-A\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n")
	if got := <-seen; got != "2\r\nhi\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n" {
		t.Errorf("request: %q", got)
	}
	_, body, _ := strings.Cut(answer, "\r\n\r\n")
	if body != "2\r\nok\r\n0\r\nX-Sum: 7\r\nX-More: 8\r\n\r\n" && body != "2\r\nok\r\n0\r\nX-More: 8\r\nX-Sum: 7\r\n\r\n" {
		t.Errorf("response: %q", answer)
	}
}

func TestUnannouncedRequestTrailer(t *testing.T) {
	seen := make(chan string, 1)
	base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) {
		wire.ReadHead(r)
		seen <- wire.ReadHead(r)
		io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	wire.Send(t, passThrough(t, base, nil), "POST / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: 1\r\n\r\n")
	if got := <-seen; got != "0\r\nX-A: 1\r\n\r\n" {
		t.Errorf("request: %q", got)
	}
}

func TestEarlyHints(t *testing.T) {
	addr := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		io.WriteString(w, "done")
	})
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h))
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if fmt.Sprint(hints) != "[103 map[Link:[</style.css>]]]" || res.Header.Get("Link") != "" {
		t.Errorf("hints %v, final %v", hints, res.Header)
	}
}

// RFC 9110 §10.1.1: the client's body is asked for when the upstream asks for it, and not when it refuses.
func TestExpectContinue(t *testing.T) {
	base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) {
		head := wire.ReadHead(r)
		if !strings.Contains(head, "Expect: 100-continue") {
			t.Errorf("Expect was not forwarded: %q", head)
		}
		if strings.HasPrefix(head, "PUT /refused") {
			io.WriteString(conn, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
			return
		}
		io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		body := make([]byte, 4)
		io.ReadFull(r, body)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n%s", body)
	})
	addr := passThrough(t, base, nil)

	conn := wire.Dial(t, addr)
	r := bufio.NewReader(conn)
	io.WriteString(conn, "PUT /wanted HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if head := wire.ReadHead(r); head != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("wanted: %q", head)
	}
	io.WriteString(conn, "body")
	if head := wire.ReadHead(r); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || strings.Contains(head, "Connection: close") {
		t.Errorf("wanted, after its body: %q", head)
	}

	answer := wire.Send(t, addr, "PUT /refused HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 417 ") || !strings.Contains(answer, "Connection: close") || strings.Contains(answer, "100 Continue") {
		t.Errorf("refused: %q", answer)
	}
}

// A client that stalls in the middle of its body after it has been answered neither keeps its connection nor has what
// it sends later taken for a request.
func TestAnswerBeforeTheBodysEnd(t *testing.T) {
	base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) {
		wire.ReadHead(r)
		io.WriteString(conn, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
	})
	answer := wire.Send(t, passThrough(t, base, nil), "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100\r\n\r\nGET / HTTP/1.1\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 401 ") || !strings.HasSuffix(answer, "\r\n\r\nno") || !strings.Contains(answer, "Connection: close") {
		t.Errorf("%q", answer)
	}
}

func TestClientAbortCancelsTheUpstream(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	addr := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	<-began
	cancel()
	<-ended
	res.Body.Close()
}

func TestUpstreamAbortIsNeverACleanEnd(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		base := wire.Upstream(t, func(conn net.Conn, r *bufio.Reader) { wire.ReadHead(r); io.WriteString(conn, answer) })
		res, err := http.Get("http://" + passThrough(t, base, nil))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err == nil || string(body) != "half" {
			t.Errorf("%s: body %q ended with %v", name, body, err)
		}
		res.Body.Close()
	}
}

func TestHooks(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "secret") }))
	t.Cleanup(srv.Close)
	addr := passThrough(t, mustURL(t, srv.URL), func(o *Options) {
		o.Place.Class = upstream.Fill
		o.OnResponse = func(res *http.Response) error { res.Header.Set("Cache-Status", "cacheproxy; fwd=bypass"); return nil }
	})
	res, err := http.Get("http://" + addr)
	if err != nil || res.Header.Get("Cache-Status") != "cacheproxy; fwd=bypass" {
		t.Errorf("onResponse: %v, %v", res, err)
	}
	res.Body.Close()

	unconfirmed := errors.New("not confirmed")
	addr = passThrough(t, mustURL(t, srv.URL), func(o *Options) {
		o.OnResponse = func(*http.Response) error { return unconfirmed }
		o.OnError = func(w http.ResponseWriter, err error) {
			if !errors.Is(err, unconfirmed) {
				t.Errorf("onError: %v", err)
			}
			http.Error(w, "held", http.StatusServiceUnavailable)
		}
	})
	res, err = http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 503 || string(body) != "held\n" {
		t.Errorf("onError: %d %q %v", res.StatusCode, body, err)
	}
	res.Body.Close()
}

func TestErrorsAreAnswered(t *testing.T) {
	gone := wire.Upstream(t, func(conn net.Conn, _ *bufio.Reader) {})
	for _, c := range []struct{ name, request, want string }{
		{"broken upstream", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 502 "},
		{"malformed chunk", "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 "},
	} {
		base := gone
		if c.name == "malformed chunk" {
			base = wire.Upstream(t, func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
		}
		if answer := wire.Send(t, passThrough(t, base, nil), c.request); !strings.HasPrefix(answer, c.want) {
			t.Errorf("%s: %q", c.name, answer)
		}
	}
}

func TestForwardedFields(t *testing.T) {
	got := make(chan http.Header, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	t.Cleanup(srv.Close)
	for trusted, want := range map[bool]string{true: "6.6.6.6, 127.0.0.1", false: "127.0.0.1"} {
		addr := passThrough(t, mustURL(t, srv.URL), func(o *Options) { o.Trusted = trusted })
		wire.Send(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close, x-forwarded-for\r\n\r\n")
		h := <-got
		if h.Get("X-Forwarded-For") != want || !strings.Contains(h.Get("Via"), "1.1 ") {
			t.Errorf("trusted %v: %v", trusted, h)
		}
	}
}
