package proxy

import (
	"net/netip"
	"time"

	"cacheproxy/proxy/server"
)

// sayUnbelieved is how often a line says that what a proxy may have said is not believed.
const sayUnbelieved = time.Minute

// warnUnbelieved says in the log that a request from a private address, which is likely to be a proxy of the operator's own, brought what
// proxies say of their clients, and is not trusted: all its clients then look like one, and links in answers may have the wrong scheme.
// There is no lock: in such a place every request comes here.
func (ex *exchange) warnUnbelieved() {
	peer, next := unbelieved(ex)
	if !peer.IsValid() || !ex.p.unbelieved.CompareAndSwap(next, ex.start.UnixNano()+int64(sayUnbelieved)) {
		return
	}
	ex.p.logger.Warn("X-Forwarded-* of a private address replaced: where it is a proxy of yours, name it in trusted_proxies, or write trusted_proxies: private",
		"peer", peer.String())
}

// unbelieved is of whom that is to be said, and until when it was not to be said again; the zero Addr: of nobody.
func unbelieved(ex *exchange) (peer netip.Addr, until int64) {
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
