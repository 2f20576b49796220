package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// A protocol that was switched to is counted with the status that its client got.
func TestSwitchedProtocolIsCounted(t *testing.T) {
	backend := func(w http.ResponseWriter, _ *http.Request) {
		answerRaw(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	}
	r := newRig(t, backend, rigOptions{}, routeFor(t, "all", nil, "/"))
	conn, err := net.Dial("tcp", r.front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	_, _ = io.Copy(io.Discard, conn) // to the end of one direction
	conn.Close()
	waitFor(t, func() bool { return count(t, r.metrics, "cacheproxy_requests_total", "") > 0 })
	if n := count(t, r.metrics, "cacheproxy_requests_total", "1xx"); n != 1 {
		t.Errorf("%d requests with 1xx", n)
	}
}
