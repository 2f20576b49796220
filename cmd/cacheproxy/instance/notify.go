package instance

import (
	"net"
	"os"
)

// notify tells a service manager that waits for it, such as systemd with Type=notify, how far the process is
// (sd_notify(3)). Without one it does nothing; that nobody listens is no reason to do anything else either.
func notify(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
