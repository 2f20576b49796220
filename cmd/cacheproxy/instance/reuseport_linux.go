package instance

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// sharePort lets several sockets listen on one port. The system spreads new connections over them.
func sharePort(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fmt.Errorf("share port: %w", err)
	}
	return nil
}

// steer makes the sockets that share a port leave new connections to the second oldest of them: to the new instance, when
// the older of two is about to end. What is still in the queue of a socket when it closes is reset by the system, and so
// is a handshake that is not finished; nothing must be on its way there by then. Where there is no second socket the
// system spreads connections as before.
func steer(fd int) error {
	const second = 1
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: second}}
	program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, program); err != nil {
		return fmt.Errorf("steer new connections to the other instance: %w", err)
	}
	return nil
}

// unsteer undoes what an instance that ended has left behind.
func unsteer(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0)
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOPROTOOPT) { // none is there, or can be
		return nil
	}
	return fmt.Errorf("spread new connections over all instances: %w", err)
}

// queued is how many connections wait to be accepted.
func queued(fd int) (int, error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, fmt.Errorf("read length of accept queue: %w", err)
	}
	return int(info.Unacked), nil // which is what it means for a socket that listens
}
