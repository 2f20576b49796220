package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// upgradingOrigin switches protocols, and says what it hears until either side is gone.
func upgradingOrigin(t testing.TB) string {
	t.Helper()
	return newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(conn, conn)
	})
}

// Upgraded connections go on while the program ends, as long as they may; then they are closed, and it is said.
func TestUpgradedConnectionAtExit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, timeout string
		leave         bool // the client goes by itself
	}{{"the client leaves", "1h", true}, {"the time is up", "2s", false}} {
		t.Run(c.name, func(t *testing.T) {
			p := serveConfig(t, fmt.Sprintf(strings.Replace(drainConfig, "drain_delay: 1s", "drain_delay: 0s\nshutdown_timeout: "+c.timeout, 1), upgradingOrigin(t)))
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.data, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			r := bufio.NewReader(conn)
			if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%v, %v", res, err)
			}
			p.stopping(t)
			eventually(t, "the data listener closes", func() bool {
				other, err := net.Dial("tcp", strings.TrimPrefix(p.data, "http://"))
				if err == nil {
					other.Close()
				}
				return err != nil
			})
			if c.leave {
				io.WriteString(conn, "hello\n")
				if line, err := r.ReadString('\n'); err != nil || line != "hello\n" {
					t.Errorf("while the program ends: %q, %v", line, err)
				}
				conn.Close()
			} else if _, err := r.ReadByte(); err == nil {
				t.Error("something came")
			}
			if status := p.exit(t, patience); status != 0 {
				t.Errorf("exit status %d", status)
			}
			if said := strings.Contains(p.output(), "connections cut off at exit"); said == c.leave {
				t.Errorf("said that connections were cut off: %v", said)
			}
		})
	}
}
