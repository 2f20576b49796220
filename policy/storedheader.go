package policy

import "net/http"

// exchangeFields name one request and its trace. On the answer to another request they would mislead.
var exchangeFields = []string{"X-Request-Id", "Traceparent", "Tracestate", "Traceresponse"}

// StoredHeader is what a copy keeps of an origin's header, and what is delivered with it. Hop-by-hop fields are gone
// (RFC 9111 §3.1). So is Age, which Lifetime holds as a number and every delivery writes anew, and so are the surrogate
// keys, which are the copy's members and no client's business, and the ids of the request that the origin answered, which
// is not the one that a copy answers. Set-Cookie is never kept: an answer that has it is stored
// only by a route that strips it. Cache-Status of caches upstream stays (RFC 9211 §2). The origin's header is not changed.
func (r *Route) StoredHeader(origin http.Header) http.Header {
	h := DeliverHeader(origin)
	delete(h, "Age")
	delete(h, "Set-Cookie")
	delete(h, "Set-Cookie2")
	for _, name := range exchangeFields {
		delete(h, name)
	}
	return h
}

// DeliverHeader is what a client gets of an origin's header when the answer is its own and not a copy: the end-to-end
// fields without the surrogate keys. The origin's header is not changed.
func DeliverHeader(origin http.Header) http.Header {
	h := origin.Clone()
	if h == nil {
		h = http.Header{}
	}
	RemoveHopByHop(h)
	delete(h, "Surrogate-Key")
	delete(h, "Xkey")
	return h
}
