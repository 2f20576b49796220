package httpcache

import "net/http"

// exchangeFields identify one request and its trace. On the answer to another request they would mislead.
var exchangeFields = []string{"X-Request-Id", "Traceparent", "Tracestate", "Traceresponse"}

// StripStored reduces an origin's header to the fields that a copy keeps and that are delivered with the copy. It
// changes h. Hop-by-hop fields go (RFC 9111 §3.1). Age goes: Lifetime has the age, and every delivery writes the field
// anew. The surrogate keys go, which are not for clients. The ids of the origin's request go, since a copy answers
// other requests. Cache-Status of caches upstream stays (RFC 9211 §2). cookies says that Set-Cookie is for everyone and
// stays.
func StripStored(h http.Header, cookies bool) {
	StripFilled(h)
	delete(h, "Age")
	if !cookies {
		delete(h, "Set-Cookie")
		delete(h, "Set-Cookie2")
	}
}

// StripFilled reduces an origin's header to the fields for a client that waited for a fill and gets the answer alone,
// cookies included. It changes h. The ids of the fill's request go.
func StripFilled(h http.Header) {
	stripDelivered(h)
	for _, name := range exchangeFields {
		delete(h, name)
	}
}

// DeliverHeader is the part of an origin's header for a client whose answer is not a copy: the end-to-end fields
// without the surrogate keys. The origin's header is not changed.
func DeliverHeader(origin http.Header) http.Header {
	h := origin.Clone()
	if h == nil {
		h = http.Header{}
	}
	stripDelivered(h)
	return h
}

func stripDelivered(h http.Header) {
	RemoveHopByHop(h)
	delete(h, "Surrogate-Key")
	delete(h, "Xkey")
}

// SetsCookie reports whether a response sets cookies: by Set-Cookie, or by Set-Cookie2, which RFC 6265 made obsolete
// and some servers still send.
func SetsCookie(h http.Header) bool { return len(h["Set-Cookie"]) > 0 || len(h["Set-Cookie2"]) > 0 }
