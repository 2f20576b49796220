package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"

	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/server"
)

// requestIDField carries the id of one request, from a trusted proxy, to the origin, and back to the client.
const requestIDField = fill.RequestIDField

// newRequestID makes an id: 128 random bits in hexadecimal. An id has to be unique, but need not be secret.
func newRequestID() string {
	var b [16]byte
	var text [2 * len(b)]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	hex.Encode(text[:], b[:])
	return string(text[:])
}

// broughtID returns the id that a trusted proxy has sent with the request; empty: none. Ids from other peers are
// ignored, since such peers could give two requests the same id in the log.
func (rq *request) broughtID() string {
	lines := rq.r.Header[requestIDField]
	if !rq.trusted || len(lines) != 1 || !httpcache.ValidRequestID(lines[0]) {
		return ""
	}
	return lines[0]
}

// scheme returns the scheme that the user's client has used. If TLS ends at a trusted proxy, that proxy names the
// scheme. If a shared fill told the origin "http" of clients that use https, the origin would redirect all of them to
// https, where they are already.
func (rq *request) scheme() string {
	if rq.trusted {
		if said := httpcache.ForwardedScheme(rq.r.Header); said != "" {
			return said
		}
	}
	if rq.r.TLS != nil {
		return "https"
	}
	return "http"
}

// clientAddr is the client's address: the peer's or, if the peer is a trusted proxy, the last address in X-Forwarded-For that is not a trusted
// proxy's.
func (rq *request) clientAddr() netip.Addr {
	addr := server.PeerAddr(rq.r)
	hops := httpcache.ForwardedFor(rq.r.Header)
	for i := len(hops) - 1; i >= 0 && rq.cfg.trusts(addr) && hops[i].IsValid(); i-- {
		addr = hops[i]
	}
	return addr
}

// asker returns the client to whose account places, memory and upstream failures are charged. The zero Addr stands for
// nobody in particular: the only address known is that of a proxy that stands for many clients.
func (rq *request) asker() netip.Addr {
	if addr := rq.clientAddr(); !rq.cfg.trusts(addr) {
		return addr
	}
	return netip.Addr{}
}

// trusts reports whether the proxy believes the fields in which a peer names the client and the scheme.
func (c *Config) trusts(peer netip.Addr) bool {
	for _, prefix := range c.Trusted {
		if prefix.Contains(peer) {
			return true
		}
	}
	return false
}
