package httpcache

import "net/http"

// exchangeFields name one request and its trace. On the answer to another request they would mislead.
var exchangeFields = []string{"X-Request-Id", "Traceparent", "Tracestate", "Traceresponse"}

// StripStored makes an origin's header, which is the caller's to change, what a copy keeps of it, and what is delivered with the copy.
// Hop-by-hop fields go (RFC 9111 §3.1). So does Age: Lifetime has it as a number, and every delivery writes it anew. So do the surrogate
// keys, which are no client's business, and the ids of the request that the origin answered, since a copy answers other requests.
// Cache-Status of caches upstream stays (RFC 9211 §2). cookies says that Set-Cookie is for everyone.
func StripStored(h http.Header, cookies bool) {
	StripFilled(h)
	delete(h, "Age")
	if !cookies {
		delete(h, "Set-Cookie")
		delete(h, "Set-Cookie2")
	}
}

// StripFilled makes an origin's header, which is the caller's to change, what the client gets of it that waited for a fill whose answer is
// its alone, cookies included. The fill's request had ids of its own.
func StripFilled(h http.Header) {
	stripDelivered(h)
	for _, name := range exchangeFields {
		delete(h, name)
	}
}

// DeliverHeader is what a client gets of an origin's header when the answer is its own and not a copy: the end-to-end
// fields without the surrogate keys. The origin's header is not changed.
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

// SetsCookie reports whether a response sets cookies: by Set-Cookie, or by its predecessor that RFC 6265 made obsolete
// and some servers still send.
func SetsCookie(h http.Header) bool { return len(h["Set-Cookie"]) > 0 || len(h["Set-Cookie2"]) > 0 }
