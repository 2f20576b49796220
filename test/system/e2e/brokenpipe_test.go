//go:build unix

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Whoever reads the access log may end: the lines are lost and counted, and requests are answered.
func TestReaderOfTheLogHasGone(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	t.Cleanup(origin.Close)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `exec "$0" "$@" >&3`, program, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", origin.URL)
	cmd.ExtraFiles = []*os.File{writer}
	p := start(t, cmd, environment())
	writer.Close()
	p.serving(t)
	reader.Close()
	dropped := func() string { return metric(t, p, "cacheproxy_access_log_dropped_total") }
	for n := 0; dropped() == "0"; n++ {
		res, err := (&http.Client{Timeout: patience}).Get(fmt.Sprint(p.data, "/", n))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || string(body) != fmt.Sprint("/", n) {
			t.Fatalf("%d %q, %v", res.StatusCode, body, err)
		}
		if n > 1000 {
			t.Fatal("no line is counted as lost")
		}
	}
	p.stopping(t)
	if status := p.exit(t, 10*time.Second); status != 0 || strings.Contains(p.output(), "panic") {
		t.Errorf("exit status %d", status)
	}
}
