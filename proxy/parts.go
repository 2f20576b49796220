package proxy

import (
	"net/http"
	"time"

	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// partsAnswer is an answer from the stored parts of an incomplete response.
type partsAnswer struct {
	of          *store.Parts     // nil: there is no such answer
	spans       []httpcache.Span // the stretches of the response that are sent
	notModified bool             // the answer is 304
}

// fromParts finds an answer in the stored parts of an incomplete response, if these have all bytes that the request
// asks for (RFC 9111 §3.3). usable says that there are parts that may be used, whether or not they suffice.
func (p *Proxy) fromParts(rq *request, found candidate, now time.Time) (answer partsAnswer, usable bool) {
	parts := p.store.LookupParts(keyText(rq), rq.asks(found).forward)
	if parts == nil {
		return partsAnswer{}, false
	}
	rq.held.keep(parts.Of)
	of := candidate{Found: store.Found{Copy: parts.Of}}
	rq.judge(&of, p.ledger, now)
	header := parts.Of.Header()
	if of.use != httpcache.Fresh || !httpcache.MeetsPreconditions(rq.r.Header, header) {
		return partsAnswer{}, false
	}
	if len(rq.ranges) == 0 {
		return partsAnswer{}, true
	}
	if httpcache.NotModified(rq.r.Header, rq.r.Method, parts.Of.Status(), header, parts.Of.Life().Received) {
		return partsAnswer{of: parts, notModified: true}, true
	}
	spans, ok := rq.ranges.Wholly(parts.Size, parts.Have())
	if !ok || !httpcache.RangeApplies(rq.r.Header, header) || !worthParts(header, spans, parts.Size) {
		return partsAnswer{}, true
	}
	return partsAnswer{of: parts, spans: spans}, true
}

// deliverParts answers with stored parts.
func (d *delivery) deliverParts(a partsAnswer) {
	header, age := a.of.Of.Header(), a.of.Of.Life().Age(d.rq.start)
	if a.notModified {
		d.deliverNotModified(header, age)
		return
	}
	d.deliverSpans(header, a.spans, a.of.Size, func(h http.Header) { d.addHeader(h, age) }, func(s httpcache.Span) error {
		for _, stretch := range a.of.Bytes(s) {
			if _, err := d.w.Write(stretch); err != nil {
				return err
			}
		}
		return nil
	})
}
