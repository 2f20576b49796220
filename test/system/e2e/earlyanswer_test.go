package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const earlyAnswerConfig = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
drain_delay: 0s
limits: {max_body: 20MiB}
upstreams: [{name: api, url: "%s"}]
routes: [{name: all, match: /, policy: bypass}]
`

// Who sends a large body to its end, and reads only then, reads the answer that came before: on either listener, whoever gave
// it.
func TestAnswerBeforeALargeBodysEnd(t *testing.T) {
	t.Parallel()
	origin := newServer(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "unread", http.StatusForbidden) })
	p := serveConfig(t, fmt.Sprintf(earlyAnswerConfig, origin))
	for _, c := range []struct {
		url, fields string
		size        int // more than the buffers of both systems hold
		chunked     bool
		status      string
	}{
		{p.admin, "", 16 << 20, false, "413"},
		{p.admin, "Connection: close\r\n", 16 << 20, false, "413"},
		{p.data, "", 24 << 20, false, "413"},
		{p.data, "Connection: close\r\n", 24 << 20, false, "413"},
		{p.data, "", 16 << 20, false, "403"},
		{p.data, "", 16 << 20, true, "403"},
		{p.data, "Expect: 100-continue\r\n", 16 << 20, true, "403"}, // which nobody waits for
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		frame := fmt.Sprintf("Content-Length: %d\r\n\r\n", c.size)
		if c.chunked {
			frame = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", c.size)
		}
		fmt.Fprintf(conn, "POST /purge HTTP/1.1\r\nHost: %s\r\n%s%s", conn.RemoteAddr(), c.fields, frame)
		if _, err := conn.Write(bytes.Repeat([]byte{'x'}, c.size)); err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if said, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 "+c.status) {
			t.Errorf("%+v: %.100q, %v", c, said, err)
		}
	}
}
