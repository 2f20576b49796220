package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
)

// requestIDField carries the id of one request, from a trusted proxy, to the origin, and back to the client.
const requestIDField = fill.RequestIDField

// newRequestID makes an id: 128 random bits in hexadecimal. It has to be unlikely to come twice, not secret.
func newRequestID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	return hex.EncodeToString(b[:])
}

// broughtID is the id that the request came with. Like the other fields in which a proxy speaks for a client, it is
// believed only from trusted proxies: anybody else could make the lines of two requests look like one.
func (ex *exchange) broughtID() string {
	if len(ex.cfg.Trusted) == 0 {
		return ""
	}
	lines := ex.r.Header[requestIDField]
	if len(lines) != 1 || !policy.ValidRequestID(lines[0]) || !ex.trusted() {
		return ""
	}
	return lines[0]
}

// id is this request's id, made when it is first needed: an answer from a copy that nobody sees in the log needs none.
func (ex *exchange) id() string {
	if ex.requestID == "" {
		ex.requestID = newRequestID()
	}
	return ex.requestID
}

// addID tells the client the id. One that the origin gave to a request of this client's own is not taken away.
func (ex *exchange) addID(h http.Header) {
	if own := h[requestIDField]; len(own) > 0 {
		ex.originID = own[0]
		return
	}
	h[requestIDField] = []string{ex.id()}
}

// identified adds to the text of an error what to search the log for.
func identified(text string, h http.Header) string {
	if id := h.Get(requestIDField); id != "" {
		text += "\nrequest id: " + id
	}
	return text
}

// scheme is how the user asked: where TLS ends at a trusted proxy, as that says. An origin that is told otherwise by a
// shared fill would send everybody to https who is there already.
func (ex *exchange) scheme() string {
	if ex.trusted() {
		if said := policy.ForwardedScheme(ex.r.Header); said != "" {
			return said
		}
	}
	if ex.r.TLS != nil {
		return "https"
	}
	return "http"
}

// clientAddr is who asked: the peer, or where that is a trusted proxy, the last address that trusted ones have not added
// themselves.
func (ex *exchange) clientAddr() netip.Addr {
	addr := peerAddr(ex.r)
	if !ex.trusts(addr) {
		return addr
	}
	hops := policy.ForwardedFor(ex.r.Header)
	for i := len(hops) - 1; i >= 0 && ex.trusts(addr) && hops[i].IsValid(); i-- {
		addr = hops[i]
	}
	return addr
}

// trusted reports whether the peer may say whom it forwards for.
func (ex *exchange) trusted() bool { return len(ex.cfg.Trusted) > 0 && ex.trusts(peerAddr(ex.r)) }

func (ex *exchange) trusts(addr netip.Addr) bool {
	for _, prefix := range ex.cfg.Trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// aborted reports whether the answer did not come to its end.
func (ex *exchange) aborted() bool {
	return !ex.whole || ex.w.failed || ex.status.Reason == policy.ClientGone || ex.status.Reason == policy.Incomplete
}

// bodyRefused tells a body that the protocol does not allow from one that could not be sent.
func bodyRefused(err error) bool { return errors.Is(err, http.ErrBodyNotAllowed) }
