package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Whoever reaches the admin port without a token takes neither the files that clients need nor the probes' turn.
func TestAdminPortIsCrowded(t *testing.T) {
	t.Parallel()
	p := serveConfig(t, fmt.Sprintf(shopConfig, newOrigin(t).url)+tokens)
	const crowd = 500
	before := number(t, p, "process_open_fds")
	for n := range crowd {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.admin, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// A call that is refused before its body is read, or a header that does not end.
		_, _ = io.WriteString(conn, []string{"POST /purge HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{", "GET /config HTTP/1.1\r\nHost: a\r\n"}[n%2])
	}
	for range 50 {
		if a := get(t, p.admin+"/readyz"); a.status != http.StatusOK {
			t.Fatalf("ready: %d %s", a.status, a.body)
		}
	}
	if now := number(t, p, "process_open_fds"); now > before+200 {
		t.Errorf("%v open files after a crowd of %d, %v before", now, crowd, before)
	}
	p.stop(t, patience)
}

// Who did what is in the log at any level.
func TestAuditAtAnyLevel(t *testing.T) {
	config := fmt.Sprintf(shopConfig, newOrigin(t).url)
	file := writeFile(t, "cacheproxy.yaml", config)
	p := serve(t, "--config", file)
	put(t, file, strings.Replace(config, "log: {", "log: {level: error, ", 1))
	// Whoever reads the file first, this call or the one who watches it: after the call it is in force.
	if a := call(t, http.MethodPost, p.admin+"/reload", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	call(t, http.MethodDelete, p.admin+"/keys/v2:product:1", "")
	p.line(t, "the purge", func(line string) bool { return strings.Contains(line, `"target":"/keys/v2:product:1"`) })
}
