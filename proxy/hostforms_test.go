package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"cacheproxy/policy"
)

// A host has one form for everybody: who writes, reads and purges under another spelling of it means the same copies, and the origin
// sees the one form on fills and passes.
func TestHostForms(t *testing.T) {
	forms := []string{"a.example", "a.example.", "a.example:80", "a.example.:80", "a.example:"}
	for _, written := range forms {
		var mu sync.Mutex
		seen := map[string]bool{}
		inBubble(t, counting(func(h http.Header, r *http.Request) int {
			mu.Lock()
			defer mu.Unlock()
			seen[r.Host+" "+r.Header.Get("X-Forwarded-Host")] = true
			h.Set("Cache-Control", "max-age=60")
			return 200
		}), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
			first := b.do("GET", "/h", "Host", "a.example").body
			b.do("GET", "/h", "Host", "b.example")
			for _, read := range forms {
				b.do("GET", "/h", "Host", read).want(t, "read at "+read, 200, first, "hit")
			}
			b.do("POST", "/h", "Host", written)
			if now := b.do("GET", "/h", "Host", "a.example").body; now == first {
				t.Errorf("a write at %s left the copy", written)
			}
			b.do("GET", "/h", "Host", "b.example").want(t, "another host", 200, "2", "hit")
			again := b.do("GET", "/h", "Host", written).body
			b.invalidate(policy.URLMembers(written, "/h", "", false)...)
			if now := b.do("GET", "/h", "Host", "a.example").body; now == again {
				t.Errorf("a purge of %s left the copy", written)
			}
		})
		for host := range seen {
			if host != "a.example a.example" && host != "b.example b.example" {
				t.Errorf("the origin saw %s", host)
			}
		}
	}
}

// What has no host, or none that is one, names nothing: least of all the copies of every host. Only HTTP/1.0 has none (RFC 9112 §3.2),
// where it may ask but not change.
func TestNoHost(t *testing.T) {
	r := newRig(t, counting(with("Cache-Control", "max-age=60")), rigOptions{}, routeFor(t, "all", nil, "GET /"))
	copied := "GET /h HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
	before := exchangeRaw(t, r, copied)[1]
	r.settle(t)
	for _, host := range []string{"Host:\r\n", "Host: [\r\n", "Host: [x\r\n", "Host: .\r\n", "Host: ..\r\n", "Host: :80\r\n", "Host: a:b\r\n"} {
		for _, request := range []string{"GET /h", "POST /h", "PUT /h", "POST //h", "OPTIONS *"} {
			heads := exchangeRaw(t, r, request+" HTTP/1.1\r\n"+host+"Connection: close\r\nContent-Length: 0\r\n\r\n")
			if !strings.HasPrefix(heads[0], "HTTP/1.1 400 ") {
				t.Errorf("%s, %q: %q", request, host, heads[0])
			}
		}
	}
	for request, want := range map[string]int{"GET /h": 200, "OPTIONS *": 200, "POST /h": 400, "FROB //h": 400, "GET /h HTTP/1.0\r\nX-Http-Method-Override: PUT": 400} {
		if !strings.Contains(request, " HTTP/1.0") {
			request += " HTTP/1.0"
		}
		if heads := exchangeRaw(t, r, request+"\r\n\r\n"); !strings.HasPrefix(heads[0], fmt.Sprintf("HTTP/1.0 %d ", want)) {
			t.Errorf("%s without Host: %q, want %d", request, heads[0], want)
		}
	}
	if after := exchangeRaw(t, r, copied)[1]; after != before {
		t.Errorf("the copy is gone: %q, then %q", before, after)
	}
}
