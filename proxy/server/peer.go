package server

import (
	"net"
	"net/http"
	"net/netip"
)

// PeerAddr is the address of the other end of a request's connection, an IPv4 address as such; the zero Addr when it is not
// an IP address.
func PeerAddr(r *http.Request) netip.Addr { return peerAddr(r.RemoteAddr) }

// addrOf is the address of one end of a connection, likewise. That of TCP is taken as it is, since to print it and to read that again would
// cost more than all else that is asked of a new connection here.
func addrOf(end net.Addr) netip.Addr {
	if tcp, ok := end.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return peerAddr(end.String())
}

// peerAddr is the address in HOST:PORT.
func peerAddr(remote string) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}
