package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func isServing(line string) bool { return strings.Contains(line, `"msg":"serving"`) }

// A socket that a service manager hands over outlives the process: what arrives between two instances waits for the next.
func TestTakeoverOfInheritedSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	file := writeFile(t, "cacheproxy.yaml", fmt.Sprintf(loadConfig, "192.0.2.1:1", "127.0.0.1:0", "0s", constantOrigin(t)))
	start := func() *process {
		p := launchWith(t, []*os.File{socket}, "serve", "--config", file)
		if line := p.line(t, "that it serves", isServing); !strings.Contains(line, l.Addr().String()) {
			t.Fatalf("not on the socket that was handed over: %s", line)
		}
		return p
	}
	now := start()
	clients := startLoad(t, "http://"+l.Addr().String())
	for range 2 {
		now.stop(t, patience)
		now = start()
		clients.more(t, 100)
	}
	clients.stop(t)
}

// Whoever waits for the end can hasten it: the second signal ends the process at once, and not as a success.
func TestSecondSignal(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := serveConfig(t, strings.Replace(fmt.Sprintf(drainConfig, newOrigin(t).url), "1s", "1h", 1))
		p.stopping(t)
		p.signal(t, s)
		if status := p.exit(t, patience); status == 0 {
			t.Errorf("%v: exit status 0 after being cut short", s)
		}
	}
}
