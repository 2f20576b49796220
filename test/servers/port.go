package servers

import "fmt"

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens, another
// one each time. On Linux it is kept for this process until that ends: nobody
// gets it who asks for any port, to listen on or to connect from, but a server
// can listen on it, again and again; and where none does, connections are
// refused. Elsewhere another process may take it before the caller's server
// does, or while that is down.
func FreePort() (int, error) {
	port, err := keepPort()
	if err != nil {
		return 0, fmt.Errorf("find free port: %w", err)
	}
	return port, nil
}
