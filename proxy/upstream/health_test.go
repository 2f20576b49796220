package upstream

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/test/bubbles"
)

// checked is an upstream in a bubble whose addresses answer health checks with a status of their own; 0: not at all.
type checked struct {
	*Upstream
	mu     sync.Mutex
	status map[string]int
	seen   map[string]string // the last health check, by address
	log    bytes.Buffer
}

func (c *checked) set(host string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status[host] = status
}

func (c *checked) healthy() (list string) {
	c.Health(func(host string, healthy bool) {
		if healthy {
			list += host + " "
		}
	})
	return strings.TrimSpace(list)
}

func (c *checked) serve(host string, conn net.Conn) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		status := c.status[host]
		c.seen[host] = r.Method + " " + r.Host + " " + r.RequestURI
		c.mu.Unlock()
		if status == 0 {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(status)
	})}
	one := pipeListener{conns: make(chan net.Conn, 1)}
	one.conns <- conn
	close(one.conns)
	server.Serve(one)
}

// newChecked runs health checks for the hosts every 2 s until the test ends.
func newChecked(t *testing.T, change func(*Options), hosts ...string) *checked {
	c := &checked{status: map[string]int{}, seen: map[string]string{}}
	o := Options{Name: "shop", Health: HealthCheck{Path: "/healthz?deep=1"}}
	for i, host := range hosts {
		c.status[host] = 200
		u := &url.URL{Scheme: "http", Host: host}
		if i == 0 {
			o.URL = u
		} else {
			o.Replicas = append(o.Replicas, u)
		}
	}
	o.Log = slog.New(slog.NewTextHandler(&c.log, nil))
	o.Dial = func(_ context.Context, _, to string) (net.Conn, error) {
		near, far := net.Pipe()
		go c.serve(strings.TrimSuffix(to, ":80"), far)
		return near, nil
	}
	if change != nil {
		change(&o)
	}
	c.Upstream = New(o)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.CloseIdle()
	})
	synctest.Wait()
	return c
}

func TestHealthChecks(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		c := newChecked(t, nil, "a.test", "b.test")
		want := func(when, hosts string) {
			t.Helper()
			if got := c.healthy(); got != hosts {
				t.Errorf("%s: healthy %q, want %q", when, got, hosts)
			}
		}
		want("at first", "a.test b.test")
		if c.seen["b.test"] != "GET b.test /healthz?deep=1" {
			t.Errorf("check arrived as %q", c.seen["b.test"])
		}
		for _, status := range []int{503, 404, 0} {
			c.set("b.test", status)
			<-time.After(3 * time.Second)
			want("after one failure", "a.test b.test")
			<-time.After(8 * time.Second)
			want("after three", "a.test")
			for range 20 {
				if to := c.balancer.pick(nil); to.url.Host != "a.test" {
					t.Fatal("a request goes to an address that is sick")
				}
			}
			c.set("b.test", 302)
			<-time.After(8 * time.Second)
			want("after two successes", "a.test b.test")
		}
		log := c.log.String()
		if strings.Count(log, "is unhealthy") != 3 || strings.Count(log, "is back") != 3 || !strings.Contains(log, "address=b.test") ||
			!strings.Contains(log, "503 Service Unavailable") {
			t.Errorf("changes are logged once each: %s", log)
		}
		if c.InFlight() != 0 {
			t.Errorf("%d places in flight", c.InFlight())
		}
	})
}

// The first check counts at once: an instance that starts beside a dead address does not send it a share of the requests.
func TestFirstHealthCheckCounts(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		c := newChecked(t, func(o *Options) {
			o.Dial = func(_ context.Context, _, to string) (net.Conn, error) { return nil, errBroken }
			o.Host = policy.HostRule{Literal: "shop.test"}
		}, "a.test", "b.test")
		if got := c.healthy(); got != "" {
			t.Errorf("healthy: %q", got)
		}
	})
	bubbles.Test(t, func(t *testing.T) {
		c := newChecked(t, func(o *Options) { o.Host = policy.HostRule{Literal: "shop.test"} }, "a.test")
		if c.seen["a.test"] != "GET shop.test /healthz?deep=1" {
			t.Errorf("check arrived as %q", c.seen["a.test"])
		}
	})
}

// Whatever the checks of an only address say, requests still go there; what they say is told.
func TestOnlyAddressStaysInUse(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		c := newChecked(t, nil, "a.test")
		c.set("a.test", 500)
		<-time.After(10 * time.Second)
		if got := c.healthy(); got != "" {
			t.Errorf("healthy: %q", got)
		}
		res, err := c.RoundTrip(request(t, c.Upstream, "GET", nil))
		if err != nil || res.StatusCode != 500 {
			t.Errorf("%v, %v", res, err)
		}
	})
}

func TestRunWithoutHealthCheckReturns(t *testing.T) {
	o := New(Options{Name: "shop", URL: &url.URL{Scheme: "http", Host: "a.test"}})
	if err := o.Run(t.Context()); err != nil {
		t.Error(err)
	}
}
