package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cacheproxy/test/bubbles"
)

// remote is a connection to an address.
type remote struct {
	net.Conn
	at net.TCPAddr
}

func (r remote) RemoteAddr() net.Addr { return &r.at }

// A name that nobody tells is where it was, for a while; one that is said not to be there, or whose address does not answer, is gone.
func TestNameServersThatFail(t *testing.T) {
	temporary, missing := &net.DNSError{Err: "server misbehaving", IsTemporary: true}, &net.DNSError{Err: "no such host", IsNotFound: true}
	for _, c := range []struct {
		name  string
		known bool          // the name was found before
		later time.Duration // how much later it is asked for
		err   error
		want  string // where the connection goes; empty: nowhere
	}{
		{"they fail", true, time.Minute, temporary, "10.0.0.1:80"},
		{"they do not answer", true, time.Minute, &net.DNSError{Err: "i/o timeout", IsTimeout: true}, "10.0.0.1:80"},
		{"for long", true, lastKnownFor, temporary, ""},
		{"from the beginning", false, 0, temporary, ""},
		{"the name is gone", true, time.Minute, missing, ""},
		{"the address refuses", true, time.Minute, syscall.ECONNREFUSED, ""},
	} {
		bubbles.Test(t, func(t *testing.T) {
			fails := !c.known
			dial := lastKnown(func(_ context.Context, _, address string) (net.Conn, error) {
				if address == "api.example:80" && fails {
					return nil, &net.OpError{Op: "dial", Err: c.err}
				}
				return remote{at: net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}}, nil
			})
			if c.known {
				if _, err := dial(t.Context(), "tcp", "api.example:80"); err != nil {
					t.Fatal(err)
				}
			}
			fails = true
			time.Sleep(c.later)
			for range 2 { // the second time is as the first
				conn, err := dial(t.Context(), "tcp", "api.example:80")
				switch {
				case c.want == "" && !errors.Is(err, c.err):
					t.Errorf("%s: %v, %v", c.name, conn, err)
				case c.want != "" && (err != nil || conn.RemoteAddr().String() != c.want):
					t.Errorf("%s: %v, %v", c.name, conn, err)
				}
			}
		})
	}
}

// An upstream has it for all connections, also for those that take the place of others which have grown old.
func TestNameServersThatFailBetweenConnections(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(srv.Close)
	var lookup atomic.Pointer[net.DNSError]
	var asked atomic.Int64
	u := New(Options{Name: "named", URL: &url.URL{Scheme: "http", Host: "api.test:80"}, MaxConnectionAge: 1, Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
		if to == "api.test:80" {
			asked.Add(1)
			if err := lookup.Load(); err != nil {
				return nil, err
			}
			to = srv.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}})
	t.Cleanup(func() { wantNothingLeft(t, u); u.CloseIdle() })
	for i, c := range []struct {
		lookup *net.DNSError
		ok     bool
	}{{nil, true}, {&net.DNSError{IsTemporary: true}, true}, {&net.DNSError{IsTimeout: true}, true}, {&net.DNSError{IsNotFound: true}, false}} {
		lookup.Store(c.lookup)
		res, err := u.RoundTrip(request(t, u, "POST", nil))
		if err == nil {
			res.Body.Close()
		}
		if (err == nil) != c.ok || asked.Load() != int64(i+1) {
			t.Errorf("%v: %v; asked for the name %d times", c.lookup, err, asked.Load())
		}
	}
}
