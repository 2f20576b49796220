package instance

import (
	"maps"
	"net"
	"syscall"
	"testing"
)

// A client that is silent is probed at the times at which the net package would, though nothing is set for each connection.
func TestConnectionsKeepAlive(t *testing.T) {
	options := func(listen func(string) (net.Listener, error)) map[string]int {
		l, err := listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int{}
		err = raw.Control(func(fd uintptr) {
			for name, option := range map[string][2]int{
				"on": {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE}, "idle": {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
				"every": {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL}, "count": {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
				"no delay": {syscall.IPPROTO_TCP, syscall.TCP_NODELAY},
			} {
				value, err := syscall.GetsockoptInt(int(fd), option[0], option[1])
				if err != nil {
					t.Errorf("ask for %s: %v", name, err)
				}
				found[name] = value
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	usual := options(func(address string) (net.Listener, error) { return net.Listen("tcp", address) })
	if got := options(listenTCP); !maps.Equal(got, usual) || got["on"] != 1 {
		t.Errorf("a connection has %v, one of net.Listen %v", got, usual)
	}
}
