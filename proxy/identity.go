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

// newRequestID makes an id: 128 random bits in hexadecimal. It has to be unlikely to come twice, not secret.
func newRequestID() string {
	var b [16]byte
	var text [2 * len(b)]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	hex.Encode(text[:], b[:])
	return string(text[:])
}

// broughtID is the id that the request came with. Like the other fields in which a proxy speaks for a client, it is
// believed only from trusted proxies: anybody else could make the lines of two requests look like one.
func (rq *request) broughtID() string {
	lines := rq.r.Header[requestIDField]
	if !rq.trusted || len(lines) != 1 || !httpcache.ValidRequestID(lines[0]) {
		return ""
	}
	return lines[0]
}

// scheme is how the user asked: where TLS ends at a trusted proxy, as that says. An origin that is told otherwise by a
// shared fill would send everybody to https who is there already.
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

// clientAddr is who asked: the peer, or where that is a trusted proxy, the last address that trusted ones have not added
// themselves.
func (rq *request) clientAddr() netip.Addr {
	addr := server.PeerAddr(rq.r)
	hops := httpcache.ForwardedFor(rq.r.Header)
	for i := len(hops) - 1; i >= 0 && rq.cfg.trusts(addr) && hops[i].IsValid(); i-- {
		addr = hops[i]
	}
	return addr
}

// asker is on whose account is what lasts, and what an upstream fails on: who asked, or nobody in particular where all that is known
// is a proxy that stands for many.
func (rq *request) asker() netip.Addr {
	if addr := rq.clientAddr(); !rq.cfg.trusts(addr) {
		return addr
	}
	return netip.Addr{}
}

// trusts reports whether a peer's word about whom it forwards for is believed.
func (c *Config) trusts(peer netip.Addr) bool {
	for _, prefix := range c.Trusted {
		if prefix.Contains(peer) {
			return true
		}
	}
	return false
}
