package instance

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// listen opens the sockets: the operator's first, so that a start that fails can be seen. Those that the service manager
// has handed over are taken as they are.
func (i *Instance) listen() error {
	given, err := inherited(os.Getenv, os.Unsetenv)
	if err != nil {
		return err
	}
	if i.adminListener, err = i.open(given["admin"], i.snapshot.Admin.Listen); err != nil {
		closeAll(given)
		return fmt.Errorf("open admin listener: %w", err)
	}
	if i.dataListener, err = i.open(given["data"], i.snapshot.Listen); err != nil {
		i.adminListener.Close()
		return fmt.Errorf("open data listener: %w", err)
	}
	return nil
}

func (i *Instance) open(given net.Listener, address string) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	if i.snapshot.ReusePort {
		return listenShared(address)
	}
	return net.Listen("tcp", address)
}

// listenShared listens on a port that another instance may listen on at the same time, or will.
func listenShared(address string) (net.Listener, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = sharePort(int(fd)) }); err != nil {
			return err
		}
		return failed
	}}
	c.SetMultipathTCP(false) // such sockets cannot be steered
	l, err := c.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := onSocket(l, unsteer); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// onSocket calls f with the file descriptor of a listener.
func onSocket(l net.Listener, f func(fd int) error) error {
	own, ok := l.(syscall.Conn)
	if !ok {
		return fmt.Errorf("reach socket: a listener of type %T has none", l)
	}
	raw, err := own.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach socket: %w", err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return fmt.Errorf("reach socket: %w", err)
	}
	return failed
}

// firstInherited is the descriptor of the first socket that a service manager hands over (sd_listen_fds(3)).
const firstInherited = 3

// inherited takes over the sockets that a service manager has opened, by their names: data and admin. Sockets without
// such names are data and admin in this order; one alone is data.
func inherited(env func(string) string, unset func(string) error) (map[string]net.Listener, error) {
	if env("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(env("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, nil
	}
	names := strings.Split(env("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := unset(name); err != nil {
			return nil, fmt.Errorf("take over sockets: %w", err)
		}
	}
	roles := rolesOf(names, n)
	if roles == nil {
		return nil, fmt.Errorf("take over sockets: %d were handed over as %q; hand over one for clients, and at most one for the admin listener, named data and admin", n, names)
	}
	given := map[string]net.Listener{}
	for at, role := range roles {
		f := os.NewFile(uintptr(firstInherited+at), role)
		l, err := net.FileListener(f)
		f.Close() // l has its own descriptor
		if err != nil {
			closeAll(given)
			return nil, fmt.Errorf("take over socket %s: %w", role, err)
		}
		given[role] = l
	}
	return given, nil
}

// rolesOf says what n sockets are for; nil where that cannot be.
func rolesOf(names []string, n int) []string {
	named := len(names) == n
	for _, name := range names {
		named = named && (name == "data" || name == "admin")
	}
	switch {
	case n > 2, named && n == 2 && names[0] == names[1]:
		return nil
	case named:
		return names
	default:
		return []string{"data", "admin"}[:n]
	}
}

func closeAll(listeners map[string]net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}
