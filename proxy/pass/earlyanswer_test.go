package pass

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"cacheproxy/test/wire"
)

// beyondBuffers is more than the systems of both ends hold of what nobody reads, in bytes.
const beyondBuffers = 16 << 20

// A client that sends all of its body before it reads gets the answer that the upstream gave long before.
func TestAnswerOfTheUpstreamIsNotLost(t *testing.T) {
	address := behind(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusRequestEntityTooLarge) })
	for _, fields := range []string{"", "Connection: close\r\n"} {
		for _, chunked := range []bool{false, true} {
			conn := wire.Dial(t, address)
			frame, body := fmt.Sprintf("Content-Length: %d\r\n", beyondBuffers), bytes.Repeat([]byte{'x'}, beyondBuffers)
			if chunked {
				frame, body = "Transfer-Encoding: chunked\r\n", bytes.Repeat([]byte("10\r\n0123456789abcdef\r\n"), beyondBuffers/22)
			}
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\n%s%s\r\n", fields, frame)
			if _, err := conn.Write(body); err != nil {
				t.Errorf("%q, chunked %v: %v", fields, chunked, err)
				continue
			}
			said, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(said), " 413 ") || !strings.Contains(string(said), "\nno\n") {
				t.Errorf("%q, chunked %v: %q, %v", fields, chunked, said, err)
			}
		}
	}
}
