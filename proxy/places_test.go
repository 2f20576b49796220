package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// scripted is an origin that answers with the bytes that the query's "answer" holds, and then waits for the other end of the
// connection to close, unless they end in "!": then it breaks off. Its connections are counted.
type scripted struct {
	url  *url.URL
	open atomic.Int64
	asks chan struct{} // a request has come whole; nobody has to take it
}

func newScripted(t *testing.T) *scripted {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{url: &url.URL{Scheme: "http", Host: ln.Addr().String()}, asks: make(chan struct{}, 1)}
	var serving sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(func() { ln.Close(); end(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.open.Add(1)
			serving.Go(func() {
				defer s.open.Add(-1)
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				s.serve(conn)
			})
		}
	})
	return s
}

func (s *scripted) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		select {
		case s.asks <- struct{}{}:
		default:
		}
		answer, breaks := strings.CutSuffix(req.URL.Query().Get("answer"), "!")
		if io.WriteString(conn, answer); breaks {
			return
		}
	}
}

// answers is what an origin may say, and more.
func answers() []string {
	all := []string{
		"!", "HTTP/1.1 200 OK\r\nContent-Le!", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf!", "nonsense\r\n\r\n!",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz!", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\n\r\nto the end!", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n!",
		"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 000 No\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 102 Processing\r\n\r\n!", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
	}
	for _, status := range []int{
		0, 1, 42, 98, 99, 100, 102, 103, 150, 199, 200, 201, 204, 205, 206, 226, 299, 300, 301, 304, 307, 399, 400, 401, 404,
		405, 406, 416, 418, 426, 429, 451, 499, 500, 501, 502, 503, 504, 511, 599, 600, 742, 999,
	} {
		for _, rest := range []string{"Content-Length: 0\r\n\r\n", "Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"} {
			if status/100 == 1 || status == 204 || status == 304 {
				rest = "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" // what comes after it, if anything may
			}
			all = append(all, fmt.Sprintf("HTTP/1.1 %03d Some\r\n%s", status, rest))
		}
	}
	for _, upgrade := range []string{"", "Upgrade: websocket\r\n", "Upgrade: x\r\n", "Upgrade: WebSocket, x\r\n", "Upgrade: h2c\r\n", "Upgrade: \xff\r\n"} {
		for _, connection := range []string{"", "Connection: Upgrade\r\n", "Connection: close\r\n"} {
			for _, end := range []string{"", "early!"} {
				all = append(all, "HTTP/1.1 101 Switching Protocols\r\n"+upgrade+connection+"\r\n"+end)
			}
		}
	}
	return all
}

// Whatever an origin answers to whomever, places are open bodies: when all is over there is none, and no connection either.
func TestPlacesAreGivenBack(t *testing.T) {
	heads := []string{
		"GET %s HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n", "GET %s HTTP/1.0\r\nHost: a\r\n\r\n",
		"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
		"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, x\r\n\r\n",
		"POST %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nUpgrade: h2c, \xff, websocket\r\nContent-Length: 4\r\n\r\nbody",
	}
	back := newScripted(t)
	before := runtime.NumGoroutine()
	r := newRig(t, func(http.ResponseWriter, *http.Request) {}, rigOptions{origin: upstream.Options{MaxStreams: 8}},
		routeFor(t, "fill", nil, "/fill"), routeFor(t, "pass", func(r *policy.Route) { r.Policy = policy.Bypass }, "/pass"))
	o := upstream.New(upstream.Options{Name: "shop", URL: back.url, MaxInFlight: 8, MaxStreams: 8, Timeout: 10 * time.Second})
	for _, route := range r.proxy.config().routes {
		route.Origin = o
	}
	front := r.front.Listener.Addr().String()
	all := server.NewConnections(server.Limits{})
	http2 := listenFor(t, server.NewServer(r.proxy, server.ServerOptions{H2C: true, Connections: all, Log: slog.New(slog.DiscardHandler)}), all)
	client := &http.Transport{Protocols: new(http.Protocols)}
	client.Protocols.SetUnencryptedHTTP2(true)
	for i, answer := range answers() {
		for _, path := range []string{"/pass", "/fill"} {
			for j, head := range heads {
				conn := dial(t, front)
				target := fmt.Sprintf("%s?answer=%s&n=%d.%d", path, url.QueryEscape(answer), i, j)
				fmt.Fprintf(conn, head, target)
				said := bufio.NewReader(conn)
				res, err := http.ReadResponse(said, &http.Request{Method: strings.Fields(head)[0]})
				for err == nil && res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
					res, err = http.ReadResponse(said, &http.Request{Method: strings.Fields(head)[0]})
				}
				if err != nil {
					if !strings.Contains(answer, "half") && !strings.Contains(answer, "zz") {
						t.Errorf("%q to %q: no answer: %v", answer, head, err)
					}
				} else {
					io.Copy(io.Discard, io.LimitReader(res.Body, 8))
				}
				conn.Close()
			}
			for _, m := range []string{"GET", "HEAD", "POST"} {
				req, err := http.NewRequestWithContext(t.Context(), m, "http://"+http2+path+"?h2&answer="+url.QueryEscape(answer), nil)
				if err != nil {
					t.Fatal(err)
				}
				if res, err := client.RoundTrip(req); err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			}
		}
	}
	waitFor(t, func() bool { return o.InFlight() == 0 && o.Streams() == 0 })
	r.settle(t)
	o.CloseIdle()
	client.CloseIdleConnections()
	waitFor(t, func() bool { return back.open.Load() == 0 })
	r.front.Close()
	waitFor(t, func() bool { return runtime.NumGoroutine() < before+40 })
}

// A client that offers several protocols gets the one that the origin chose, whatever the case of its letters.
func TestUpgradeToOneOfSeveral(t *testing.T) {
	for _, c := range []struct{ offer, chosen, seen string }{
		{"Upgrade: websocket, x", "websocket", "Upgrade: websocket, x"},
		{"Upgrade: x,WebSocket", "websocket", "Upgrade: x, WebSocket"},
		{"Upgrade: x\r\nUpgrade: websocket", "WEBSOCKET", "Upgrade: x, websocket"},
		{"Upgrade: h2c, websocket", "websocket", "Upgrade: websocket\r\n"},
		{"Upgrade: , websocket, line/1 ,, TLS/1.0", "line/1", "Upgrade: websocket, line/1\r\n"},
		{"Upgrade: a/1, b/2", "b/2, a/1", "Upgrade: a/1, b/2"},
	} {
		base := rawOrigin(t, func(conn net.Conn, r *bufio.Reader) {
			if head := readHead(r); !strings.Contains(head, c.seen) {
				t.Errorf("%q: request %q", c.offer, head)
			}
			fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", c.chosen)
			line, err := r.ReadString('\n')
			if err != nil {
				t.Errorf("%q: %v", c.offer, err)
			}
			io.WriteString(conn, "you said "+line)
		})
		conn := dial(t, passThrough(t, base, nil))
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n%s\r\n\r\nhi\n", c.offer)
		r := bufio.NewReader(conn)
		if head := readHead(r); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: "+c.chosen+"\r\n") {
			t.Errorf("%q: %q", c.offer, head)
		}
		if rest, err := io.ReadAll(r); err != nil || string(rest) != "you said hi\n" {
			t.Errorf("%q: %q, %v", c.offer, rest, err)
		}
	}
}

// What is not a message of HTTP is an error of the origin to whoever asks, and a copy may stand in for it.
func TestImpossibleAnswers(t *testing.T) {
	back := newScripted(t)
	p := newPasser(slog.New(slog.DiscardHandler))
	o := upstream.New(upstream.Options{Name: "test", URL: back.url})
	t.Cleanup(o.CloseIdle)
	for _, c := range []struct{ answer, upgrade string }{
		{"HTTP/1.1 000 No\r\nContent-Length: 4\r\n\r\nbody", ""},
		{"HTTP/1.1 099 No\r\nContent-Length: 4\r\n\r\nbody", "websocket"},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "websocket"},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, x\r\n\r\n", "websocket"},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "websocket"},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n", "websocket"},
	} {
		var failed error
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if c.upgrade != "" {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", c.upgrade)
		}
		p.serve(httptest.NewRecorder(), r, passOptions{
			origin: o, target: policy.Target{Scheme: "http", Host: "a", Path: "/", Query: "answer=" + url.QueryEscape(c.answer), HasQuery: true},
			onResponse: func(*http.Response) error { t.Errorf("%q was taken for an answer", c.answer); return nil },
			onError:    func(_ http.ResponseWriter, err error) { failed = err },
		})
		if upstream.Classify(failed) != policy.OriginError || upstream.NotSent(failed) {
			t.Errorf("%q: %v", c.answer, failed)
		}
	}
	waitFor(t, func() bool { return o.InFlight() == 0 && o.Streams() == 0 && back.open.Load() == 0 })
}

// A copy stands in for what is not a message of HTTP, on a fill and on a pass, and without one it is 502.
func TestCopyStandsInForImpossibleAnswers(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
	} {
		var broken atomic.Bool
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			if !broken.Load() {
				w.Header().Set("Cache-Control", "max-age=0, stale-if-error=60")
				io.WriteString(w, "good")
				return
			}
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, answer)
			conn.Close()
		}, rigOptions{}, routeFor(t, "all", nil, "/"))
		r.do("GET", "/a")
		r.settle(t)
		broken.Store(true)
		r.do("GET", "/a").want(t, "with a copy", 200, "good", "detail=origin-error")
		if a := r.do("GET", "/b"); a.status != http.StatusBadGateway {
			t.Errorf("without a copy: %d", a.status)
		}
		if a := r.do("POST", "/a"); a.status != http.StatusBadGateway {
			t.Errorf("a write: %d", a.status)
		}
	}
}

// Every way out of a pass gives the place back, also those that only a defect takes.
func TestPlacesAfterPanics(t *testing.T) {
	back := newScripted(t)
	o := upstream.New(upstream.Options{Name: "test", URL: back.url})
	t.Cleanup(o.CloseIdle)
	p := newPasser(slog.New(slog.DiscardHandler))
	const page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
	const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	defect := errors.New("defect")
	for name, c := range map[string]struct {
		answer string
		change func(*passOptions)
		writer http.ResponseWriter
	}{
		"before sending":            {page, func(o *passOptions) { o.sending = func(*http.Request) func(*http.Response, error) { panic(defect) } }, nil},
		"with the head":             {page, func(o *passOptions) { o.sending = panicsAfter }, nil},
		"with the head, broken":     {"!", func(o *passOptions) { o.sending = panicsAfter }, nil},
		"onResponse":                {page, func(o *passOptions) { o.onResponse = func(*http.Response) error { panic(defect) } }, nil},
		"onResponse aborts":         {page, func(o *passOptions) { o.onResponse = func(*http.Response) error { panic(http.ErrAbortHandler) } }, nil},
		"onResponse of an upgrade":  {upgraded, func(o *passOptions) { o.onResponse = func(*http.Response) error { panic(defect) } }, nil},
		"onResponse fails":          {page, func(o *passOptions) { o.onResponse = func(*http.Response) error { return defect } }, nil},
		"onResponse fails, upgrade": {upgraded, func(o *passOptions) { o.onResponse = func(*http.Response) error { return defect } }, nil},
		"onError":                   {"!", func(o *passOptions) { o.onError = func(http.ResponseWriter, error) { panic(defect) } }, nil},
		"the body is hidden":        {upgraded, func(o *passOptions) { o.onResponse = hidesBody }, nil},
		"the writer panics":         {page, nil, brokenWriter{httptest.NewRecorder(), true}},
		"the writer fails":          {page, nil, brokenWriter{httptest.NewRecorder(), false}},
		"no connection to switch":   {upgraded, nil, nil},
		"an event stream":           {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", func(o *passOptions) { o.onResponse = func(*http.Response) error { panic(defect) } }, nil},
	} {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.ServerContextKey, &http.Server{}), "GET", "/", nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		options := passOptions{origin: o, target: policy.Target{Scheme: "http", Host: "a", Path: "/", Query: "answer=" + url.QueryEscape(c.answer), HasQuery: true}}
		if c.change != nil {
			c.change(&options)
		}
		if c.writer == nil {
			c.writer = httptest.NewRecorder()
		}
		func() {
			defer func() { _ = recover() }()
			p.serve(c.writer, r, options)
		}()
		if o.InFlight() != 0 || o.Streams() != 0 {
			t.Errorf("%s: %d in flight, %d streams", name, o.InFlight(), o.Streams())
			o = upstream.New(upstream.Options{Name: "test", URL: back.url})
		}
	}
	o.CloseIdle()
	waitFor(t, func() bool { return back.open.Load() == 0 })
}

func panicsAfter(*http.Request) func(*http.Response, error) {
	return func(*http.Response, error) { panic("defect") }
}

func hidesBody(res *http.Response) error {
	res.Body = struct{ io.ReadCloser }{res.Body}
	return nil
}

// brokenWriter is a client's end that does not work.
type brokenWriter struct {
	*httptest.ResponseRecorder
	panics bool
}

func (w brokenWriter) WriteHeader(int) {
	if w.panics {
		panic("invalid WriteHeader code")
	}
}

func (w brokenWriter) Write([]byte) (int, error) { return 0, net.ErrClosed }

// A client that leaves gives its place back, whenever it does.
func TestPlacesOfClientsThatLeave(t *testing.T) {
	back := newScripted(t)
	o := upstream.New(upstream.Options{Name: "shop", URL: back.url, MaxInFlight: 8, MaxStreams: 4})
	r := newRig(t, func(http.ResponseWriter, *http.Request) {}, rigOptions{},
		routeFor(t, "fill", nil, "/fill"), routeFor(t, "pass", func(r *policy.Route) { r.Policy = policy.Bypass }, "/pass"))
	for _, route := range r.proxy.config().routes {
		route.Origin = o
	}
	going := 0 // fills may belong to others as well, and go on without their client
	for i, answer := range []string{
		"", "HTTP/1.1 200", "HTTP/1.1 103 Hints\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		for _, path := range []string{"/pass", "/fill"} {
			conn := dial(t, r.front.Listener.Addr().String())
			fields := ""
			if strings.Contains(answer, "101") {
				fields = "Connection: Upgrade\r\nUpgrade: x, websocket\r\n"
			}
			fmt.Fprintf(conn, "GET %s?answer=%s&n=%d HTTP/1.1\r\nHost: a\r\n%s\r\n", path, url.QueryEscape(answer+"\n"), i, fields)
			<-back.asks
			if strings.Contains(answer, "200 OK") || strings.Contains(answer, "101") {
				readHead(bufio.NewReader(conn))
			}
			conn.Close()
			if path == "/fill" && !strings.Contains(answer, "no-store") && !strings.Contains(answer, "event-stream") && fields == "" {
				going++
			}
			waitFor(t, func() bool { return o.InFlight()+o.Streams() <= going })
		}
	}
	r.proxy.Close() // which ends the fills
	waitFor(t, func() bool { return o.InFlight() == 0 && o.Streams() == 0 })
	o.CloseIdle()
	waitFor(t, func() bool { return back.open.Load() == 0 })
}
