package proxy

import (
	"net/netip"
	"time"

	"cacheproxy/proxy/server"
)

// sayUnbelieved is the least time between two log lines of warnUnbelieved.
const sayUnbelieved = time.Minute

// warnUnbelieved logs that a request from a private address has X-Forwarded-* or Forwarded, and that the peer is not in
// trusted_proxies. The peer is likely to be the operator's own proxy. All clients of that proxy then look like one
// client, and links in answers may have the wrong scheme. warnUnbelieved takes no lock, since in such a deployment
// every request comes here.
func (ex *exchange) warnUnbelieved() {
	peer, next := untrustedProxy(ex)
	if !peer.IsValid() || !ex.p.unbelieved.CompareAndSwap(next, ex.start.UnixNano()+int64(sayUnbelieved)) {
		return
	}
	ex.p.logger.Warn("X-Forwarded-* of a private address replaced: where it is a proxy of yours, name it in trusted_proxies, or write trusted_proxies: private",
		"peer", peer.String())
}

// untrustedProxy returns the peer that warnUnbelieved has to warn of, and the value of Proxy.unbelieved that
// untrustedProxy has read. The zero Addr means that no warning is due.
func untrustedProxy(ex *exchange) (peer netip.Addr, until int64) {
	h := ex.r.Header
	if ex.trusted || len(h["X-Forwarded-For"])+len(h["X-Forwarded-Proto"])+len(h["Forwarded"]) == 0 {
		return netip.Addr{}, 0
	}
	if until = ex.p.unbelieved.Load(); ex.start.UnixNano() < until {
		return netip.Addr{}, 0
	}
	if peer = server.PeerAddr(ex.r); !(peer.IsPrivate() || peer.IsLoopback()) {
		return netip.Addr{}, 0
	}
	return peer, until
}
