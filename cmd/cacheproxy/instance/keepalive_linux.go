package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// The keep-alive settings of the net package for each accepted connection, when a caller does not choose others.
const (
	keepAliveIdle  = 15 * time.Second
	keepAliveEvery = 15 * time.Second
	keepAliveCount = 9
)

// listenTCP opens a socket whose connections probe silent clients, as those of net.Listen do. Here connections inherit
// the settings from the listener. Setting them on each connection would take four system calls, a tenth of the cost of
// a new connection.
func listenTCP(address string) (net.Listener, error) {
	var unheeded error
	listening := net.ListenConfig{
		KeepAlive: -1, // nothing is set on each connection
		Control: func(_, _ string, c syscall.RawConn) error {
			return errors.Join(c.Control(func(fd uintptr) { unheeded = setKeepAlive(int(fd)) }), unheeded)
		},
	}
	l, err := listening.Listen(context.Background(), "tcp", address)
	if unheeded != nil { // older kernels refuse these settings for a listener of MPTCP, which net makes
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
