package proxy

import (
	"time"

	"cacheproxy/proxy/server"
)

// sayUnbelieved is how often a line says that what a proxy may have said is not believed.
const sayUnbelieved = time.Minute

// warnUnbelieved says in the log that a request from a private address, which is likely to be a proxy of the operator's own, brought what
// proxies say of their clients, and is not trusted: all its clients then look like one, and links in answers may have the wrong scheme.
// There is no lock: in such a place every request comes here.
func (ex *exchange) warnUnbelieved() {
	h := ex.r.Header
	if ex.trusted || len(h["X-Forwarded-For"])+len(h["X-Forwarded-Proto"])+len(h["Forwarded"]) == 0 {
		return
	}
	now, next := ex.start.UnixNano(), ex.p.unbelieved.Load()
	if now < next {
		return
	}
	peer := server.PeerAddr(ex.r)
	if !(peer.IsPrivate() || peer.IsLoopback()) || !ex.p.unbelieved.CompareAndSwap(next, now+int64(sayUnbelieved)) {
		return
	}
	ex.p.logger.Warn("X-Forwarded-* of a private address replaced: where it is a proxy of yours, name it in trusted_proxies, or write trusted_proxies: private",
		"peer", peer.String())
}
