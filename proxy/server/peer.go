package server

import (
	"net"
	"net/http"
	"net/netip"
)

// PeerAddr returns the address of the other end of a request's connection, an IPv4 address as such. The zero Addr:
// not an IP address.
func PeerAddr(r *http.Request) netip.Addr { return peerAddr(r.RemoteAddr) }

// addrOf returns the address of one end of a connection, like PeerAddr. A TCP address is taken as it is: printing and
// parsing it would cost more than all other work for a new connection in this package.
func addrOf(end net.Addr) netip.Addr {
	if tcp, ok := end.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return peerAddr(end.String())
}

// peerAddr parses the address in HOST:PORT.
func peerAddr(remote string) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}
