package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/test/wire"
)

// While an answer that has outgrown its limit waits for a client that takes none of it, others fetch for themselves, and are told just
// that: nothing of it is shared or stored.
func TestWordsAboutWhatOutgrewItsLimit(t *testing.T) {
	const size = 16 << 20 // more than the sockets on the way hold
	var asked atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		part := strings.Repeat("x", 64<<10)
		for range size / len(part) {
			if _, err := io.WriteString(w, part); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}, rigOptions{maxObject: 1 << 20}, routeFor(t, "all", nil, "/"))
	slow := wire.Dial(t, r.front.Listener.Addr().String())
	fmt.Fprint(slow, "GET /big HTTP/1.1\r\nHost: "+r.front.Listener.Addr().String()+"\r\n\r\n")
	wire.ReadHead(bufio.NewReader(slow))
	waitFor(t, func() bool { return count(t, r.metrics, "cacheproxy_not_stored_total", policy.TooLarge.String()) == 1 })
	for range 2 {
		a := r.do("GET", "/big")
		if a.status != 200 || len(a.body) != size {
			t.Errorf("%d, %d bytes", a.status, len(a.body))
		}
		if said := a.header.Get("Cache-Status"); strings.Contains(said, "stored") || strings.Contains(said, "collapsed") || !strings.Contains(said, "detail="+policy.HitForMiss.String()) {
			t.Errorf("Cache-Status: %s", said)
		}
	}
	if n := count(t, r.metrics, "cacheproxy_coalesced_total", ""); n != 0 || asked.Load() != 3 {
		t.Errorf("%d coalesced, asked %d times", n, asked.Load())
	}
	slow.Close()
	r.settle(t)
	if n := count(t, r.metrics, "cacheproxy_not_stored_total", policy.Incomplete.String()); n != 0 {
		t.Errorf("an answer that outgrew its limit, and that its client has left, counts %d times as incomplete too", n)
	}
}
