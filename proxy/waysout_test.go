package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/test/wire"
)

// scripted is a rig whose origin answers with what the query's answer holds, for fills, passes and writes, and an address where its
// clients may speak HTTP/2.
type scripted struct {
	*rig
	back   *wire.Scripted
	origin *upstream.Upstream
	http1  string
	http2  func(method, path, answer string)
}

func newScripted(t *testing.T) *scripted {
	back := wire.NewScripted(t)
	r := newRig(t, func(http.ResponseWriter, *http.Request) {}, rigOptions{},
		routeFor(t, "fill", nil, "/fill"), routeFor(t, "pass", func(r *policy.Route) { r.Policy = policy.Bypass }, "/pass"))
	s := &scripted{rig: r, back: back, http1: r.front.Listener.Addr().String()}
	s.origin = upstream.New(upstream.Options{Name: "shop", URL: back.URL, MaxInFlight: 8, MaxStreams: 8, Timeout: 10 * time.Second})
	for _, route := range r.proxy.config().routes {
		route.Origin = s.origin
	}
	all := server.NewConnections(server.Limits{})
	h2 := wire.Serve(t, server.New(r.proxy, server.Options{H2C: true, Connections: all, Log: slog.New(slog.DiscardHandler)}), all.Listen(wire.Listen(t)))
	client := &http.Transport{Protocols: new(http.Protocols)}
	client.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(client.CloseIdleConnections)
	s.http2 = func(method, path, answer string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+h2+path+"?h2&answer="+url.QueryEscape(answer), nil)
		if err != nil {
			t.Error(err)
			return
		}
		if res, err := client.RoundTrip(req); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	return s
}

// ask sends a request of HTTP/1.1, and leaves when it has so many bytes of an answer; below 0 when it has all.
func (s *scripted) ask(t *testing.T, head, path, answer string, n, enough int) {
	conn := wire.Dial(t, s.http1)
	defer conn.Close()
	fmt.Fprintf(conn, head, fmt.Sprintf("%s?n=%d&answer=%s", path, n, url.QueryEscape(answer)))
	if enough >= 0 {
		io.CopyN(io.Discard, conn, int64(enough))
		return
	}
	said := bufio.NewReader(conn)
	req := &http.Request{Method: strings.Fields(head)[0]}
	res, err := http.ReadResponse(said, req)
	for err == nil && res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
		res, err = http.ReadResponse(said, req)
	}
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		io.Copy(io.Discard, res.Body)
	}
}

var scriptedHeads = []string{
	"GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
	"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET %s HTTP/1.0\r\nHost: a\r\n\r\n",
}

// parallel runs f for all numbers below n, a few at a time.
func parallel(n int, f func(i int)) {
	var all sync.WaitGroup
	places := make(chan struct{}, 4)
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			f(i)
		})
	}
	all.Wait()
}

// Every status that three digits can say is a way out, for fills, passes and writes, and whatever comes with it.
func TestEveryStatusGivesItsPlaceBack(t *testing.T) {
	s := newScripted(t)
	rests := []string{"Content-Length: 4\r\n\r\nbody", "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n!", "\r\nto the end!", "Cache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nhalf!"}
	n := unlessRace(1000)
	parallel(n, func(turn int) {
		status := turn * 1000 / n
		answer := fmt.Sprintf("HTTP/1.1 %03d Some\r\n%s", status, rests[turn%len(rests)])
		if status/100 == 1 || status == 204 || status == 304 {
			answer = strings.TrimSuffix(answer, "!") + "!" // the client would wait for what follows
		}
		for _, path := range []string{"/pass", "/fill"} {
			s.ask(t, scriptedHeads[turn/len(rests)%len(scriptedHeads)], path, answer, status, -1)
		}
		s.http2([]string{"GET", "POST", "HEAD"}[turn%3], []string{"/pass", "/fill"}[turn%2], answer)
	})
	wantPlacesFree(t, s.origin)
	s.origin.CloseIdle()
	wantNoneLeft(t, "bodies of the origin", 0, func() int { return int(s.back.Open.Load()) })
}

// An answer may break off after each of its bytes, and so may the client leave.
func TestEveryBreakGivesItsPlaceBack(t *testing.T) {
	s := newScripted(t)
	answers := []string{
		"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n4\r\nbody\r\n0\r\nX: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nContent-Length: 6\r\n\r\nstored",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
		"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nerror",
	}
	for i, answer := range answers {
		breaks := unlessRace(len(answer) + 1)
		parallel(breaks, func(turn int) {
			at := turn * (len(answer) + 1) / breaks
			for j, path := range []string{"/pass", "/fill"} {
				head := scriptedHeads[turn%3]
				if i == 3 {
					head = scriptedHeads[2]
				}
				n := i<<20 | at<<1 | j
				s.ask(t, head, path, answer[:at]+"!", n, -1)  // the origin breaks off
				s.ask(t, head, path, answer+"!", n|1<<30, at) // the client leaves
			}
			s.http2("GET", "/fill", answer[:at]+"!")
		})
	}
	wantPlacesFree(t, s.origin)
	s.origin.CloseIdle()
	wantNoneLeft(t, "bodies of the origin", 0, func() int { return int(s.back.Open.Load()) })
}
