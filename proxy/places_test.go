package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/test/wire"
)

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
	back := wire.NewScripted(t)
	before := runtime.NumGoroutine()
	r := newRig(t, func(http.ResponseWriter, *http.Request) {}, rigOptions{origin: upstream.Options{MaxStreams: 8}},
		routeFor(t, "fill", nil, "/fill"), routeFor(t, "pass", func(r *policy.Route) { r.Policy = policy.Bypass }, "/pass"))
	o := upstream.New(upstream.Options{Name: "shop", URL: back.URL, MaxInFlight: 8, MaxStreams: 8, Timeout: 10 * time.Second})
	for _, route := range r.proxy.config().routes {
		route.Origin = o
	}
	front := r.front.Listener.Addr().String()
	all := server.NewConnections(server.Limits{})
	http2 := wire.Serve(t, server.New(r.proxy, server.Options{H2C: true, Connections: all, Log: slog.New(slog.DiscardHandler)}), all.Listen(wire.Listen(t)))
	client := &http.Transport{Protocols: new(http.Protocols)}
	client.Protocols.SetUnencryptedHTTP2(true)
	for i, answer := range answers() {
		for _, path := range []string{"/pass", "/fill"} {
			for j, head := range heads {
				conn := wire.Dial(t, front)
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
	waitFor(t, func() bool { return back.Open.Load() == 0 })
	r.front.Close()
	waitFor(t, func() bool { return runtime.NumGoroutine() < before+40 })
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

// A client that leaves gives its place back, whenever it does.
func TestPlacesOfClientsThatLeave(t *testing.T) {
	back := wire.NewScripted(t)
	o := upstream.New(upstream.Options{Name: "shop", URL: back.URL, MaxInFlight: 8, MaxStreams: 4})
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
			conn := wire.Dial(t, r.front.Listener.Addr().String())
			fields := ""
			if strings.Contains(answer, "101") {
				fields = "Connection: Upgrade\r\nUpgrade: x, websocket\r\n"
			}
			fmt.Fprintf(conn, "GET %s?answer=%s&n=%d HTTP/1.1\r\nHost: a\r\n%s\r\n", path, url.QueryEscape(answer+"\n"), i, fields)
			<-back.Asks
			if strings.Contains(answer, "200 OK") || strings.Contains(answer, "101") {
				wire.ReadHead(bufio.NewReader(conn))
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
	waitFor(t, func() bool { return back.Open.Load() == 0 })
}
