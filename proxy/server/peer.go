package server

import (
	"net/http"
	"net/netip"
)

// PeerAddr is the address of the other end of a request's connection, an IPv4 address as such; the zero Addr when it is not
// an IP address.
func PeerAddr(r *http.Request) netip.Addr { return peerAddr(r.RemoteAddr) }

// peerAddr is the address in HOST:PORT.
func peerAddr(remote string) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}
