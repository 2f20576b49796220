package servers

import (
	"errors"
	"fmt"
	"syscall"
)

// keepPort binds a socket to a port, and leaves it open without listening. The kernel gives such a port to nobody who leaves the choice to it. It
// lets others bind it by its number who say SO_REUSEADDR, as servers do, since the socket says so too and does not listen.
func keepPort() (int, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open socket: %w", err)
	}
	port, err := bindAnyPort(socket)
	if err != nil {
		return 0, errors.Join(err, syscall.Close(socket))
	}
	return port, nil
}

func bindAnyPort(socket int) (int, error) {
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, fmt.Errorf("share port with the server that it is for: %w", err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("bind socket: %w", err)
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		return 0, fmt.Errorf("read address of socket: %w", err)
	}
	bound, ok := address.(*syscall.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("read address of socket: it is %T", address)
	}
	return bound.Port, nil
}
