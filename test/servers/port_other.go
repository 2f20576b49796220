//go:build unix && !linux

package servers

import (
	"net"
	"sync"
)

// given are the ports that were returned.
var given sync.Map

// keepPort only sees to it that this process gets no port twice.
func keepPort() (int, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return 0, err
		}
		if _, before := given.LoadOrStore(port, true); !before {
			return port, nil
		}
	}
}
