//go:build !linux

package instance

import "net"

// listenTCP opens a socket. Each connection is set to keep-alive; on Linux connections inherit the setting.
func listenTCP(address string) (net.Listener, error) { return net.Listen("tcp", address) }
