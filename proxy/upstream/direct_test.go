package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// rawOrigin answers each request with the bytes that the test says, and has what it was sent.
type rawOrigin struct {
	net.Listener
	mu     sync.Mutex
	answer string
	hangUp bool // after each answer
	heads  []string
	opened int
}

func newRawOrigin(t *testing.T) *rawOrigin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &rawOrigin{Listener: ln}
	var conns sync.WaitGroup
	t.Cleanup(func() { ln.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.opened++
			o.mu.Unlock()
			conns.Go(func() { defer conn.Close(); o.serve(conn) })
		}
	})
	return o
}

func (o *rawOrigin) serve(conn net.Conn) {
	for in := bufio.NewReader(conn); ; {
		var head strings.Builder
		for !strings.HasSuffix(head.String(), "\r\n\r\n") {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
		}
		o.mu.Lock()
		o.heads = append(o.heads, head.String())
		answer, hangUp := o.answer, o.hangUp
		o.mu.Unlock()
		if strings.Contains(head.String(), " /next ") {
			answer, hangUp = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext", false
		}
		if _, err := io.WriteString(conn, answer); err != nil || hangUp {
			return
		}
	}
}

// says sets what is answered from here on, and forgets what came.
func (o *rawOrigin) says(answer string, hangUp bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer, o.hangUp, o.heads, o.opened = answer, hangUp, nil, 0
}

// seen is what came since.
func (o *rawOrigin) seen() (heads []string, opened int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heads, o.opened
}

// outcome is all that a request gets to know of its answer.
type outcome struct {
	failed  policy.Reason // NoReason: there is a head
	notSent bool
	status  int
	length  int64
	header  http.Header
	body    string
	broken  bool
	trailer http.Header
	hints   []string
}

func (o *rawOrigin) upstream(t *testing.T, indirect bool) *Upstream {
	u := New(Options{Name: "raw", URL: &url.URL{Scheme: "http", Host: o.Addr().String()}, Indirect: indirect, Timeout: 10 * time.Second, ReadTimeout: 10 * time.Second})
	t.Cleanup(u.CloseIdle)
	return u
}

func (o *rawOrigin) ask(t *testing.T, u *Upstream, method, path string, fields http.Header) (got outcome) {
	t.Helper()
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		got.hints = append(got.hints, fmt.Sprint(code, h))
		return nil
	}}
	req := request(t, u, "GET", nil)
	req.Method = method
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
	if fields != nil {
		req.Header = fields.Clone()
	}
	SetTarget(req, u.URL(), httpcache.Target{Path: path})
	res, err := u.RoundTrip(req)
	if err != nil {
		got.failed, got.notSent = Classify(err), NotSent(err)
		return got
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	got.status, got.length, got.header, got.body, got.broken, got.trailer = res.StatusCode, res.ContentLength, res.Header, string(body), err != nil, res.Trailer
	return got
}

// both asks the same both ways, and what comes next on the connections that are left.
func (o *rawOrigin) both(t *testing.T, about, answer string, hangUp bool, direct, indirect *Upstream, method string, fields http.Header) {
	t.Helper()
	var outcomes [2]outcome
	var heads [2][]string
	for i, u := range []*Upstream{direct, indirect} {
		o.says(answer, hangUp)
		u.losses.debt.Store(0) // what cases before it have lost says nothing of this one
		outcomes[i] = o.ask(t, u, method, "/", fields)
		heads[i], _ = o.seen()
		if next := o.ask(t, u, "GET", "/next", nil); next.body != "next" {
			t.Errorf("%s: %q: the next answer is %+v", about, answer, next)
		}
	}
	if !reflect.DeepEqual(outcomes[0], outcomes[1]) {
		t.Errorf("%s %s: %q:\ndirect    %+v\ntransport %+v", method, about, answer, outcomes[0], outcomes[1])
	}
	// Whether a request is repeated goes by whether its connection was kept, which is chance for the transport.
	if (len(heads[0]) > 0) != (len(heads[1]) > 0) || len(heads[0]) > 0 && heads[0][0] != heads[1][0] {
		t.Errorf("%s %s: %q:\ndirect    %q\ntransport %q", method, about, answer, heads[0], heads[1])
	}
}

// hostile are answers after which an origin hangs up: each is taken for the same thing by both ways, or is an error of both.
var hostile = []string{
	"", "\r\n", "H", "HTTP/1.1", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end",
	"HTTP/1.1 200 OK\n\nx", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/0.9 200 OK\r\n\r\n", "SMTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
	"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 -10 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 999 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3 \r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc",
	"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nraw",
	"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\nA\r\n\r\n", "HTTP/1.1 200 OK\r\n: b\r\n\r\n", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: b\rC: d\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", maxHeaderBytes) + "\r\n\r\n", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 200000) + "\r\n",
	"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 " + strings.Repeat("O", 10000) + "\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
}

// kept are answers after which an origin waits for the next request.
var kept = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTrailer: A, B\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: a\r\nB: b\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000),
}

// What a request without content gets to know of any answer is the same whether net/http's transport carries it or it goes directly, and
// so is what the origin gets of it.
func TestDirectIsLikeTransport(t *testing.T) {
	if !tellsQuiet {
		t.Skip("requests do not go directly on this system")
	}
	o := newRawOrigin(t)
	direct, indirect := o.upstream(t, false), o.upstream(t, true)
	if direct.plain.anew.direct == nil || indirect.plain.anew.direct != nil {
		t.Fatal("both go the same way")
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "DELETE"} {
		for _, answer := range hostile {
			if method != "GET" && len(answer) > 1<<16 {
				continue
			}
			o.both(t, "hostile", answer, true, direct, indirect, method, nil)
		}
		for _, answer := range kept {
			o.both(t, "kept", answer, false, direct, indirect, method, nil)
		}
	}
	for _, answer := range kept[:7] { // cut anywhere, and with any byte another
		for n := range len(answer) {
			o.both(t, "cut", answer[:n], true, direct, indirect, "GET", nil)
		}
		r := rand.New(rand.NewPCG(1, uint64(len(answer))))
		for range 60 {
			changed := []byte(answer)
			changed[r.IntN(len(changed))] = byte(r.IntN(256))
			o.both(t, "changed", string(changed), true, direct, indirect, "GET", nil)
		}
	}
	for _, fields := range []http.Header{
		{"Accept": {"a/b", "c/d"}, "X-Empty": {""}, "User-Agent": {""}}, {"Connection": {"close"}}, {"Connection": {"keep-alive"}, "Te": {"trailers"}}, {"Cookie": {"a=b; c=d"}, "Content-Type": {"text/plain"}},
		{"Bad Name": {"x"}}, {"X-Bad": {"a\r\nHost: other"}}, {"X-Bad": {"a\x00"}}, {"": {"x"}}, {"Content-Length": {"5"}}, {"Transfer-Encoding": {"chunked"}}, {"Host": {"other"}}, {"x-lower": {"y"}},
	} {
		for _, method := range []string{"GET", "POST", "BAD METHOD", "M-SEARCH"} {
			o.both(t, fmt.Sprint("fields ", fields), kept[0], false, direct, indirect, method, fields)
		}
	}
}

// A kept connection carries one request after another, and none that has ended meanwhile, or on which something came that nobody asked for.
func TestDirectKeepsConnections(t *testing.T) {
	o := newRawOrigin(t)
	u := o.upstream(t, false)
	o.says(kept[0], false)
	for range 20 {
		if got := o.ask(t, u, "GET", "/", nil); got.body != "ok" {
			t.Fatalf("%+v", got)
		}
	}
	if _, opened := o.seen(); opened != 1 {
		t.Errorf("%d connections for one request after another", opened)
	}
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"} {
		o.says(answer, false)
		for range 3 {
			o.ask(t, u, "GET", "/", nil)
		}
		if _, opened := o.seen(); opened < 2 {
			t.Errorf("%q: the connection is used again", answer)
		}
	}
	o.says(kept[0], true)
	for range 20 {
		if got := o.ask(t, u, "POST", "/", nil); got.body != "ok" { // which may be sent once only
			t.Fatalf("%+v", got)
		}
		waitForHangUp(t, u)
	}
}

// waitForHangUp returns when the connection that is idle has ended.
func waitForHangUp(t *testing.T, u *Upstream) {
	t.Helper()
	idle := u.plain.now.Load().direct.idle
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		c := idle.take(u.URL().Host)
		if c == nil {
			return
		}
		quiet := c.quiet()
		idle.put(c)
		if !quiet {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatal("the connection has not ended")
}

// The end of a context ends each wait: for the head, and for the body; and neither connection is used again.
func TestDirectIsInterrupted(t *testing.T) {
	o := newRawOrigin(t)
	u := o.upstream(t, false)
	gone := errors.New("the client is gone")
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		o.says(answer, false)
		ctx, cancel := context.WithCancelCause(t.Context())
		req := request(t, u, "GET", nil).WithContext(ctx)
		timer := time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
		res, err := u.RoundTrip(req)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		timer.Stop()
		if !errors.Is(err, gone) || Classify(err) != policy.ClientGone && !strings.Contains(answer, "half") {
			t.Errorf("%q: %v, %v", answer, err, Classify(err))
		}
		if c := u.plain.now.Load().direct.idle.take(u.URL().Host); c != nil {
			t.Errorf("%q: the connection is kept", answer)
		}
		cancel(nil)
	}
	wantNothingLeft(t, u)
}

// A connection that somebody has begun to interrupt is not kept, although its response is whole.
func TestInterruptedConnectionIsNotKept(t *testing.T) {
	for _, begun := range []bool{false, true} {
		here, there := net.Pipe()
		c := &directConn{countedConn: &countedConn{Conn: here, changed: make(chan struct{}, 1)}, to: "a", in: bufio.NewReader(here)}
		x := &directExchange{conn: c, idle: newIdleConns(), stop: func() bool { return !begun }}
		x.end(true)
		if kept := x.idle.take("a") != nil; kept == begun {
			t.Errorf("begun: %v, kept: %v", begun, kept)
		}
		x.idle.close()
		there.Close()
	}
}

// Connections that nobody takes are closed.
func TestIdleConnsExpire(t *testing.T) {
	here, there := net.Pipe()
	i := newIdleConns()
	i.put(&directConn{countedConn: &countedConn{Conn: here, changed: make(chan struct{}, 1)}, to: "a"})
	i.expire()
	if len(i.conns["a"]) != 1 || i.timer == nil {
		t.Fatal("one that is idle for a moment is not kept")
	}
	i.conns["a"][0].since = time.Now().Add(-idleTimeout)
	i.expire()
	if _, err := there.Read(make([]byte, 1)); err != io.EOF || len(i.conns) != 0 {
		t.Errorf("it is not closed: %v", err)
	}
}
