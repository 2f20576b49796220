package servers

import (
	"fmt"
	"net"
)

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens. Another
// process may take it before the caller does: a server that can listen on port
// 0 and say which port it got is better off doing that.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("find free port: %w", err)
	}
	return port, nil
}
