package servers

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// A port waits for the server that it is for: before that has begun, and while it is down.
func TestFreePortIsKept(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	anybody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer anybody.Close()
	for range 2 {
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connect while nobody listens: %v, %v, want that it is refused", c, err)
		}
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}}
		if c, err := from.Dial("tcp", anybody.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("connect from the port: %v, %v, want that it is in use", c, err)
		}
		server, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Close(), server.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
