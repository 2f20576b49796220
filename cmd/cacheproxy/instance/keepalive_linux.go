package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// What the net package asks of each connection that it accepts, if nobody asks for something else.
const (
	keepAliveIdle  = 15 * time.Second
	keepAliveEvery = 15 * time.Second
	keepAliveCount = 9
)

// listenTCP opens a socket whose connections probe clients that are silent, as those of net.Listen do. They have that from their listener:
// to set it for each of them would be four calls of the system, a tenth of what a new connection costs.
func listenTCP(address string) (net.Listener, error) {
	var unheeded error
	listening := net.ListenConfig{
		KeepAlive: -1, // nothing is set for each
		Control: func(_, _ string, c syscall.RawConn) error {
			return errors.Join(c.Control(func(fd uintptr) { unheeded = setKeepAlive(int(fd)) }), unheeded)
		},
	}
	l, err := listening.Listen(context.Background(), "tcp", address)
	if unheeded != nil { // older kernels know no such times for a listener of MPTCP, which net makes
		return net.Listen("tcp", address)
	}
	return l, err
}

func setKeepAlive(fd int) error {
	for _, option := range [...]struct{ level, name, value int }{
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(keepAliveIdle / time.Second)},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(keepAliveEvery / time.Second)},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
	} {
		if err := syscall.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return fmt.Errorf("set keepalive of listener: %w", err)
		}
	}
	return nil
}
