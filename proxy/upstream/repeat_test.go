package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// mortal is an upstream that loses its connection over every request for /poison, and answers everything else.
type mortal struct {
	*Upstream
	seen   atomic.Int64  // how often /poison came
	dies   atomic.Int64  // of how many it dies
	came   chan struct{} // a request of a warm-up is there
	leave  chan struct{} // and is answered when all are
	opened atomic.Int64  // connections
	hangUp func()        // closes those of the server
	header atomic.Value  // of the last /poison
}

func newMortal(t *testing.T, scheme string, o Options) *mortal {
	m := &mortal{came: make(chan struct{}), leave: make(chan struct{})}
	m.dies.Store(1 << 30)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/warm" {
			m.came <- struct{}{}
			<-m.leave
			return
		}
		m.header.Store(r.Header)
		if m.seen.Add(1) <= m.dies.Load() {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
		}
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			m.opened.Add(1)
		}
	}
	if scheme == "https" {
		srv.StartTLS()
		o.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		o.TLS.RootCAs.AddCert(srv.Certificate())
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	m.hangUp = srv.CloseClientConnections
	o.Name, o.URL = "mortal", &url.URL{Scheme: scheme, Host: srv.Listener.Addr().String()}
	m.Upstream = New(o)
	t.Cleanup(func() { wantNothingLeft(t, m.Upstream); m.CloseIdle() })
	return m
}

// warm leaves n connections idle that requests without content go over.
func (m *mortal) warm(t *testing.T, n int) { m.warmWith(t, n, "") }

// warmWith leaves those idle that requests with such content go over, and with others without TLS, upgrades.
func (m *mortal) warmWith(t *testing.T, n int, content string) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			var body io.Reader
			if content != "" {
				body = io.MultiReader(strings.NewReader(content))
			}
			if err := m.ask(t, "GET", "/warm", body); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		<-m.came
	}
	for range n {
		m.leave <- struct{}{}
	}
	wg.Wait()
}

func (m *mortal) ask(t *testing.T, method, path string, body io.Reader, fields ...string) error {
	req := request(t, m.Upstream, method, body)
	req.GetBody = nil
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	SetTarget(req, m.URL(), httpcache.Target{Path: path})
	res, err := m.RoundTrip(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	return nil
}

// A request that its upstream dies of is sent twice at most, however many connections are idle, and once where it is not safe.
func TestPoisonIsSentTwiceAtMost(t *testing.T) {
	const idle = 12
	for _, scheme := range []string{"http", "https"} {
		for _, c := range []struct {
			methods string
			body    string
			fields  []string
			want    int64
		}{
			{"GET HEAD OPTIONS TRACE QUERY PROPFIND REPORT SEARCH", "", nil, 2},
			{"GET", "", []string{"Connection", "Upgrade", "Upgrade", "echo"}, 2},
			{"POST", "", []string{"Connection", "Upgrade", "Upgrade", "echo"}, 1},
			{"GET QUERY", "content", nil, 1},
			{"POST PUT DELETE PATCH PROPPATCH PURGE", "", nil, 1},
			{"POST PUT DELETE PATCH PROPPATCH PURGE", "", []string{"Idempotency-Key", "k"}, 1},
			{"POST DELETE", "", []string{"X-Idempotency-Key", ""}, 1},
			{"POST PUT", "content", []string{"Idempotency-Key", "k"}, 1},
		} {
			for method := range strings.SplitSeq(c.methods, " ") {
				t.Run(strings.Join(append([]string{scheme, method, c.body}, c.fields...), " "), func(t *testing.T) {
					m := newMortal(t, scheme, Options{MaxInFlight: 2 * idle})
					content := c.body
					if scheme == "http" && len(c.fields) == 4 {
						content = "content"
					}
					m.warmWith(t, idle, content)
					var body io.Reader
					if c.body != "" {
						body = io.MultiReader(strings.NewReader(c.body))
					}
					err := m.ask(t, method, "/poison", body, c.fields...)
					want := c.want
					if scheme == "https" && len(c.fields) == 4 {
						want = 1 // over connections of their own, which are not warm
					}
					if err == nil || NotSent(err) || Classify(err) != policy.OriginError {
						t.Errorf("%v; not sent: %v, %v", err, NotSent(err), Classify(err))
					}
					if m.seen.Load() != want || m.Retries() != uint64(want-1) {
						t.Errorf("arrived %d times, %d retries, want %d and %d", m.seen.Load(), m.Retries(), want, want-1)
					}
					if len(c.fields) == 2 && m.header.Load().(http.Header)[c.fields[0]] == nil {
						t.Errorf("%s did not arrive", c.fields[0])
					}
					if m.InFlight() != 0 {
						t.Errorf("%d in flight", m.InFlight())
					}
					// What is left is of use: at most one connection went without need.
					m.warmWith(t, idle-2, content)
					if extra := m.opened.Load() - idle; extra > 2 {
						t.Errorf("%d connections had to be made", extra)
					}
				})
			}
		}
	}
}

// A repeat goes over a connection of its own, which finds an upstream that was only about to close an old one.
func TestRepeatSucceeds(t *testing.T) {
	m := newMortal(t, "http", Options{})
	m.dies.Store(1)
	m.warm(t, 3)
	if err := m.ask(t, "GET", "/poison", nil); err != nil || m.seen.Load() != 2 || m.Retries() != 1 {
		t.Errorf("%v; arrived %d times, %d retries", err, m.seen.Load(), m.Retries())
	}
}

// A new connection that is closed without an answer was not closed for its age.
func TestNewConnectionIsNoReasonToRepeat(t *testing.T) {
	m := newMortal(t, "http", Options{})
	if err := m.ask(t, "GET", "/poison", nil); err == nil || m.seen.Load() != 1 || m.Retries() != 0 {
		t.Errorf("%v; arrived %d times, %d retries", err, m.seen.Load(), m.Retries())
	}
}

// Repeats are in the budget of retries: what poisons an upstream is not doubled for long.
func TestRepeatsAreInTheBudget(t *testing.T) {
	m := newMortal(t, "http", Options{MaxInFlight: 3})
	for range 20 {
		m.warm(t, 1)
		if err := m.ask(t, "GET", "/poison", nil); err == nil {
			t.Error("answered")
		}
	}
	if n := m.Retries(); n < 3 || n > 8 || m.seen.Load() != 20+int64(n) {
		t.Errorf("arrived %d times, %d retries: want three and a tenth of 40", m.seen.Load(), n)
	}
}

// newHasty is an upstream that closes every connection after its first answer, without a word, when the next request has come.
func newHasty(t *testing.T) *mortal {
	type used struct{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(used{}).(*atomic.Int64).Add(1) == 1 {
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}))
	srv.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, used{}, new(atomic.Int64))
	}
	srv.Start()
	t.Cleanup(srv.Close)
	m := &mortal{Upstream: New(Options{Name: "hasty", MaxInFlight: 3, URL: &url.URL{Scheme: "http", Host: srv.Listener.Addr().String()}})}
	t.Cleanup(m.CloseIdle)
	return m
}

// An upstream that closes every connection after its answer, without a word, fails no request that is safe, however many of them meet a
// kept connection: each repeat is answered, so that none is in vain.
func TestAnsweredRepeatsAreNotBounded(t *testing.T) {
	m := newHasty(t)
	lost := 0
	for range 100 {
		if m.ask(t, "GET", "/", nil) != nil {
			lost++
		}
	}
	if n := m.Retries(); lost > 0 || n < 40 {
		t.Errorf("%d of 100 requests were lost, with %d retries: want none, and one for each connection that was kept", lost, n)
	}
}

// A connection whose end has arrived takes no request, even where the transport's reader has not come to read it: a write on it
// would be lost, and may not be repeated.
func TestConnectionWhoseEndHasArrivedTakesNothing(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		m := newMortal(t, "http", Options{})
		m.dies.Store(0)
		ended, hold := make(chan struct{}), make(chan struct{})
		dial := &net.Dialer{}
		m.Upstream = New(Options{Name: "drowsy", URL: m.URL(), Timeout: time.Second, Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
			conn, err := dial.DialContext(ctx, network, to)
			if err != nil {
				return nil, err
			}
			return &drowsy{TCPConn: conn.(*net.TCPConn), ended: sync.OnceFunc(func() { close(ended) }), hold: hold}, nil
		}})
		t.Cleanup(m.CloseIdle)
		if err := m.ask(t, "GET", "/", nil); err != nil {
			t.Fatal(err)
		}
		m.hangUp()
		<-ended
		var body io.Reader
		if method == "POST" {
			body = io.MultiReader(strings.NewReader("order"))
		}
		if err := m.ask(t, method, "/", body); err != nil || m.seen.Load() != 2 || m.Retries() != 0 {
			t.Errorf("%s: %v; arrived %d times, %d retries", method, err, m.seen.Load()-1, m.Retries())
		}
		close(hold)
	}
}

// drowsy is a connection whose reader is late to hear of its end.
type drowsy struct {
	*net.TCPConn
	ended func()
	hold  chan struct{}
}

func (d *drowsy) Read(p []byte) (int, error) {
	n, err := d.TCPConn.Read(p)
	if err != nil {
		d.ended()
		<-d.hold
	}
	return n, err
}

// Connections that the upstream closes while they are idle cost nobody an error, whatever the method.
func TestConnectionsClosedWhileIdle(t *testing.T) {
	for _, method := range []string{"GET", "POST", "DELETE"} {
		m := newMortal(t, "http", Options{})
		m.dies.Store(0)
		closed := make(chan struct{}, 8)
		closing := &atomic.Bool{}
		dial := &net.Dialer{}
		m.Upstream = New(Options{Name: "idle", URL: m.URL(), MaxInFlight: 8, Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
			conn, err := dial.DialContext(ctx, network, to)
			return &brittle{Conn: conn, broken: closing, met: closed}, err
		}})
		t.Cleanup(m.CloseIdle)
		m.warm(t, 8)
		closing.Store(true) // every connection there is fails before it takes a byte
		var body io.Reader
		if method == "POST" {
			body = io.MultiReader(strings.NewReader("order"))
		}
		if err := m.ask(t, method, "/", body); err != nil || m.seen.Load() != 1 {
			t.Errorf("%s: %v, arrived %d times", method, err, m.seen.Load())
		}
		if len(closed) == 0 {
			t.Errorf("%s: no connection was lost", method)
		}
		if m.Retries() != 0 {
			t.Errorf("%s: what the upstream had not seen counts as %d retries", method, m.Retries())
		}
	}
}

// brittle is a connection that takes nothing any more once an answer came on it and broken is set.
type brittle struct {
	net.Conn
	broken   *atomic.Bool
	met      chan struct{}
	answered atomic.Bool
}

func (b *brittle) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if n > 0 {
		b.answered.Store(true)
	}
	return n, err
}

func (b *brittle) Write(p []byte) (int, error) {
	if b.broken.Load() && b.answered.Load() {
		b.met <- struct{}{}
		return 0, errBroken
	}
	return b.Conn.Write(p)
}

// Where no connection can be made for the repeat, the request goes on to another address, and what loses it there is the end:
// it was sent twice. Nor does it count as not sent when there is no other address.
func TestRepeatIsOneForAllAddresses(t *testing.T) {
	for _, addresses := range []int{1, 2} {
		m := newMortal(t, "http", Options{})
		var closed atomic.Bool // to new connections
		o := Options{Name: "pair", URL: m.URL(), Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
			if closed.Load() {
				return nil, errBroken
			}
			return (&net.Dialer{}).DialContext(ctx, network, m.URL().Host)
		}}
		if addresses == 2 {
			o.Replicas = []*url.URL{{Scheme: "http", Host: "replica.test"}}
		}
		m.Upstream = New(o)
		t.Cleanup(m.CloseIdle)
		m.warm(t, 20) // both addresses have some
		closed.Store(true)
		err := m.ask(t, "GET", "/poison", nil)
		if err == nil || NotSent(err) || m.seen.Load() != int64(addresses) || m.Retries() != uint64(addresses) {
			t.Errorf("%d addresses: arrived %d times, %d retries; %v, not sent: %v", addresses, m.seen.Load(), m.Retries(), err, NotSent(err))
		}
	}
}

// The transport may have another connection in hand when it is told not to send again: nothing goes out there.
func TestBarredConnectionTakesNothing(t *testing.T) {
	var taken bytes.Buffer
	conns := [2]*countedConn{{Conn: sink{&taken}}, {Conn: sink{&taken}}}
	var cause error
	way := &trip{cancel: func(err error) { cause = err }}
	for _, c := range conns {
		c.reading.Store(true) // as the transport's reader does
		way.connecting("")
		way.connected(httptrace.GotConnInfo{Conn: c, Reused: true})
		io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	}
	if taken.String() != "GET / HTTP/1.1\r\n\r\n" || cause == nil || !way.keptLost() || way.unsent() {
		t.Errorf("taken %q, cancelled: %v, lost %v, unsent %v", taken.String(), cause, way.keptLost(), way.unsent())
	}
}

// sink is a connection that takes everything.
type sink struct{ *bytes.Buffer }

func (sink) Close() error                     { return nil }
func (sink) LocalAddr() net.Addr              { return nil }
func (sink) RemoteAddr() net.Addr             { return nil }
func (sink) SetDeadline(time.Time) error      { return nil }
func (sink) SetReadDeadline(time.Time) error  { return nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }
