package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const slowBodyConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
drain_delay: 0s
limits: {body_timeout: 1s, max_body: 2MB}
upstreams: [{name: api, url: "%s", max_in_flight: 5}]
routes: [{name: all, match: /, policy: bypass}]
`

// Whose body does not come is told so, and holds neither a place at the origin nor the connection for long: however long
// the body was to be, whatever it claims to be, and whether or not anybody wants it.
func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	origin := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			_, _ = io.Copy(io.Discard, r.Body) // which breaks off
		}
	})
	p := serveConfig(t, fmt.Sprintf(slowBodyConfig, origin))
	for _, c := range []struct{ head, status string }{
		{"POST /read HTTP/1.1\r\nContent-Length: 1000", "408"},
		{"POST /read HTTP/1.1\r\nContent-Length: 100000", "408"},
		{"POST /read HTTP/1.1\r\nTransfer-Encoding: chunked", "408"},
		{"POST /read HTTP/1.1\r\nContent-Type: application/grpc\r\nContent-Length: 100000", "408"},
		{"POST /read HTTP/1.1\r\nContent-Length: 3000000", "413"},
		{"POST /early HTTP/1.1\r\nContent-Length: 1000000", "200"},
		{"OPTIONS /read HTTP/1.1\r\nMax-Forwards: 0\r\nContent-Length: 100000", "204"},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.data, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s\r\nHost: a\r\n\r\n1\r\n", c.head)
		if said, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 "+c.status) {
			t.Errorf("%q: %.100q, %v; want %s", c.head, said, err, c.status)
		}
	}
	eventually(t, "nothing is left", func() bool {
		return metric(t, p, `cacheproxy_origin_in_flight{upstream="api"}`) == "0" && metric(t, p, `cacheproxy_connections{state="at_work"}`) == "0"
	})
}
