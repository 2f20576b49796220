//go:build !linux

package instance

import "net"

// listenTCP opens a socket. On Linux its connections have from it what is set for each of them elsewhere.
func listenTCP(address string) (net.Listener, error) { return net.Listen("tcp", address) }
