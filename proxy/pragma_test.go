package proxy

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
	"cacheproxy/test/wire"
)

// noted is a connection that notes what is written to it.
type noted struct {
	net.Conn
	mu   *sync.Mutex
	text *strings.Builder
}

func (n noted) Write(p []byte) (int, error) {
	n.mu.Lock()
	n.text.Write(p)
	n.mu.Unlock()
	return n.Conn.Write(p)
}

// Pragma arrives alone where it was sent alone, in both directions, and beside Cache-Control where it was sent beside it. net/http makes
// a Cache-Control of it in every message that it reads.
func TestPragmaGrowsNoCacheControl(t *testing.T) {
	var mu sync.Mutex
	var asked strings.Builder
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Pragma", "no-cache")
		if r.URL.Query().Has("both") {
			w.Header().Set("Cache-Control", "no-cache")
		}
	}, rigOptions{origin: upstream.Options{Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, to)
		return noted{conn, &mu, &asked}, err
	}}}, routeFor(t, "kept", func(r *policy.Route) { r.TTL = time.Minute }, "/kept"))
	for _, c := range []struct{ name, line string }{{"passes", "POST /passes"}, {"kept", "GET /kept"}} {
		for _, both := range []bool{false, true} {
			mu.Lock()
			asked.Reset()
			mu.Unlock()
			line, fields := c.line, "Pragma: no-cache\r\n"
			if both {
				line, fields = line+"?both", fields+"Cache-Control: no-cache\r\n"
			}
			answer := wire.Send(t, r.front.Listener.Addr().String(), line+" HTTP/1.1\r\nHost: a\r\n"+fields+"Content-Length: 0\r\nConnection: close\r\n\r\n")
			if !strings.Contains(answer, "Pragma: no-cache\r\n") || strings.Contains(answer, "Cache-Control: no-cache\r\n") != both {
				t.Errorf("%s, both %v: the client got %q", c.name, both, answer)
			}
			mu.Lock()
			if passes := c.name == "passes"; strings.Contains(asked.String(), "Cache-Control") != (both && passes) || passes && !strings.Contains(asked.String(), "Pragma: no-cache\r\n") {
				t.Errorf("%s, both %v: the origin got %q", c.name, both, asked.String())
			}
			mu.Unlock()
		}
	}
	// An answer's Pragma means nothing on a route that names a lifetime (RFC 9111 §5.4).
	if answer := wire.Send(t, r.front.Listener.Addr().String(), "GET /kept HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.Contains(answer, "cacheproxy; hit") {
		t.Errorf("%q", answer)
	}
}
