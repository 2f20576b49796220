package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/test/bubbles"
)

// twins is an upstream of two addresses in a bubble: at up.test somebody listens, at down.test dial decides.
type twins struct {
	*Upstream
	dials atomic.Int64 // of down.test
	mu    sync.Mutex
	seen  []string // method, Host, target and body of the requests that arrived
}

func newTwins(t *testing.T, o Options, dial func(context.Context) (net.Conn, error)) *twins {
	w := &twins{}
	ln := pipeListener{conns: make(chan net.Conn)}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, r.Method+" "+r.Host+" "+r.RequestURI+" "+string(body))
	})}
	ended := make(chan struct{})
	go func() { server.Serve(ln); close(ended) }()
	o.Name, o.URL = "twins", &url.URL{Scheme: "http", Host: "down.test"}
	o.Replicas = []*url.URL{{Scheme: "http", Host: "up.test"}}
	o.Dial = func(ctx context.Context, _, to string) (net.Conn, error) {
		if strings.HasPrefix(to, "down.test") {
			w.dials.Add(1)
			return dial(ctx)
		}
		near, far := net.Pipe()
		ln.conns <- far
		return near, nil
	}
	w.Upstream = New(o)
	t.Cleanup(func() { wantNothingLeft(t, w.Upstream); w.CloseIdle(); close(ln.conns); server.Close(); <-ended })
	return w
}

type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "upstream"} }

func refused(context.Context) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Err: errBroken} }

// ask sends one request and gives its body up, whatever came.
func (w *twins) ask(t *testing.T, method, host, path string, body io.Reader) error {
	req, err := http.NewRequestWithContext(t.Context(), method, "/", body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.GetBody = nil // like a client's: it comes once
	}
	req.Host = host
	SetTarget(req, w.URL(), httpcache.Target{Path: path})
	res, err := w.RoundTrip(req)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, res.Body)
	return res.Body.Close()
}

// A refused connection on one of two addresses costs nobody an error, also where the request has a body.
func TestRefusedConnectionCostsNobodyAnError(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		w := newTwins(t, Options{MaxInFlight: 20}, refused)
		for range 50 {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if err := w.ask(t, "GET", "shop.test", "/", nil); err != nil {
						t.Errorf("GET: %v", err)
					}
				})
				wg.Go(func() {
					if err := w.ask(t, "POST", "shop.test", "/", bytes.NewReader([]byte("order"))); err != nil {
						t.Errorf("POST: %v", err)
					}
				})
			}
			wg.Wait()
		}
		if len(w.seen) != 2000 || w.Retries() != uint64(w.dials.Load()) {
			t.Errorf("%d of 2000 requests arrived, %d retries of %d", len(w.seen), w.Retries(), w.dials.Load())
		}
		if w.dials.Load() > 40 {
			t.Errorf("%d requests met an address that does not answer", w.dials.Load())
		}
		for _, s := range w.seen {
			if s != "GET shop.test / " && s != "POST shop.test / order" {
				t.Errorf("arrived as %q", s)
			}
		}
		if w.InFlight() != 0 || w.balancer.addresses[0].inFlight+w.balancer.addresses[1].inFlight != 0 {
			t.Errorf("left over: %d in flight", w.InFlight())
		}
	})
}

// A dead address that only times out is passed over too, within the time for connecting.
func TestUnreachableAddress(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		w := newTwins(t, Options{Timeout: 4 * time.Second}, func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done() // no answer to a SYN
			return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
		})
		for range 20 {
			start := time.Now()
			if err := w.ask(t, "GET", "shop.test", "/", nil); err != nil || time.Since(start) > 2*time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		}
		if n := w.dials.Load(); n > 2*ejectAfter {
			t.Errorf("%d requests waited for it", n)
		}
	})
}

// What may have been sent is never sent again: the address takes the request and breaks the connection.
func TestPostThatMayHaveBeenSentIsNotRepeated(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		var taken atomic.Int64
		w := newTwins(t, Options{}, func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				b := make([]byte, 1)
				if n, _ := far.Read(b); n > 0 {
					taken.Add(1)
				}
				far.Close()
			}()
			return near, nil
		})
		failed := int64(0)
		for range 200 {
			if err := w.ask(t, "POST", "shop.test", "/", strings.NewReader("order")); err != nil {
				failed++
			}
		}
		if taken.Load() == 0 || failed != taken.Load() || w.Retries() != 0 || len(w.seen)+int(failed) != 200 {
			t.Errorf("the broken address took %d, %d failed, %d retries, %d arrived at the other",
				taken.Load(), failed, w.Retries(), len(w.seen))
		}
	})
}

// With no address to be reached, retries are a share of the requests, and each request tries an address once.
func TestRetriesAreBounded(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		o := New(Options{
			Name: "gone", URL: &url.URL{Scheme: "http", Host: "a.test"}, MaxInFlight: 10,
			Replicas: []*url.URL{{Scheme: "http", Host: "b.test"}, {Scheme: "http", Host: "c.test"}},
			Dial:     func(ctx context.Context, _, _ string) (net.Conn, error) { dials.Add(1); return refused(ctx) },
		})
		for range 1000 {
			if _, err := o.RoundTrip(request(t, o, "GET", nil)); !errors.Is(err, errBroken) {
				t.Fatalf("answered: %v", err)
			}
		}
		if n := o.Retries(); n < 100 || n > 110 || dials.Load() != 1000+int64(n) {
			t.Errorf("%d retries for 1000 requests, want a tenth and ten; %d connections tried", n, dials.Load())
		}
		if o.InFlight() != 0 {
			t.Errorf("%d in flight", o.InFlight())
		}
	})
}

// Each address may see itself as Host; targets arrive byte for byte at both.
func TestHostOfAddress(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		w := newTwins(t, Options{Host: policy.HostRule{Literal: "down.test"}, HostOfAddress: true}, refused)
		for _, path := range []string{"/a|b", "//double", "//a|b"} {
			if err := w.ask(t, "GET", w.Host("client.test"), path, nil); err != nil {
				t.Error(err)
			}
		}
		want := []string{"GET up.test /a|b ", "GET up.test //double ", "GET up.test http://up.test//a|b "}
		if strings.Join(w.seen, "\n") != strings.Join(want, "\n") {
			t.Errorf("arrived: %q, want %q", w.seen, want)
		}
	})
	bubbles.Test(t, func(t *testing.T) {
		w := newTwins(t, Options{}, refused)
		for range 5 {
			if err := w.ask(t, "GET", "client.test", "//a|b", nil); err != nil {
				t.Error(err)
			}
		}
		for _, s := range w.seen {
			if s != "GET client.test http://client.test//a|b " {
				t.Errorf("arrived: %q", s)
			}
		}
	})
}

// A body that nobody wanted is closed once the request is over, whatever became of it.
func TestBodyIsClosed(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		w := newTwins(t, Options{}, refused)
		for range 10 {
			b := &closing{Reader: strings.NewReader("x")}
			if err := w.ask(t, "PUT", "shop.test", "/", b); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if b.closed.Load() == 0 {
				t.Error("sent, and not closed")
			}
		}
		gone := New(Options{Name: "gone", URL: w.URL(), Replicas: w.options.Replicas, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return refused(ctx) }})
		b := &closing{Reader: strings.NewReader("x")}
		if _, err := gone.RoundTrip(request(t, gone, "PUT", b)); err == nil || b.closed.Load() == 0 {
			t.Errorf("not sent (%v), closed %d times", err, b.closed.Load())
		}
	})
}

type closing struct {
	io.Reader
	closed atomic.Int64
}

func (c *closing) Read(p []byte) (int, error) {
	if c.closed.Load() > 0 {
		return 0, errors.New("read after close")
	}
	return c.Reader.Read(p)
}

func (c *closing) Close() error { c.closed.Add(1); return nil }

// Over HTTP/2 too: what an address took and then dropped is not sent to another, and an address that cannot be reached is
// passed over.
func TestSendingOverHTTP2(t *testing.T) {
	for _, scheme := range []string{"h2c", "https"} {
		t.Run(scheme, func(t *testing.T) {
			var arrived atomic.Int64
			start := func() (*httptest.Server, *url.URL) {
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					arrived.Add(1)
					if r.ProtoMajor != 2 {
						t.Errorf("arrived over %s", r.Proto)
					}
					if r.Method == "POST" {
						panic(http.ErrAbortHandler)
					}
				}))
				srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
				srv.Config.Protocols = new(http.Protocols)
				if scheme == "h2c" {
					srv.Config.Protocols.SetUnencryptedHTTP2(true)
					srv.Start()
				} else {
					srv.Config.Protocols.SetHTTP2(true)
					srv.EnableHTTP2 = true
					srv.StartTLS()
				}
				t.Cleanup(srv.Close)
				return srv, &url.URL{Scheme: scheme, Host: srv.Listener.Addr().String()}
			}
			first, firstURL := start()
			_, secondURL := start()
			pool := x509.NewCertPool()
			if first.TLS != nil {
				pool.AddCert(first.Certificate())
			}
			o := New(Options{Name: "h2", URL: firstURL, Replicas: []*url.URL{secondURL}, TLS: &tls.Config{RootCAs: pool}})
			t.Cleanup(o.CloseIdle)
			for range 20 {
				if res, err := o.RoundTrip(request(t, o, "GET", nil)); err != nil {
					t.Errorf("GET: %v", err)
				} else {
					res.Body.Close()
				}
				if _, err := o.RoundTrip(request(t, o, "POST", io.MultiReader(strings.NewReader("order")))); err == nil {
					t.Error("POST: no error")
				}
			}
			if arrived.Load() != 40 || o.Retries() != 0 {
				t.Errorf("%d of 40 requests arrived, %d retries", arrived.Load(), o.Retries())
			}
			o.CloseIdle() // a request that is on a connection when it ends is the transport's business
			first.Close()
			for range 20 {
				if res, err := o.RoundTrip(request(t, o, "GET", nil)); err != nil {
					t.Errorf("GET with one address gone: %v", err)
				} else {
					res.Body.Close()
				}
			}
		})
	}
}
