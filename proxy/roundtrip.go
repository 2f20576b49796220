package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// roundTrip waits for a place at the origin, takes the token, and sends the request.
func (c *call) roundTrip() (*http.Response, error) {
	q := c.q
	slot, err := q.route.origin.Acquire(c.ctx, upstream.Place{Class: q.class, Route: q.route.Name})
	if err != nil {
		return nil, fmt.Errorf("fetch from upstream %s: %w", q.route.origin.Name(), err)
	}
	c.slot, c.resp = slot, nil
	c.token = c.p.flights.send(c.f)
	// What was invalidated before the token is not worth confirming: a 304 would bring it back. So would one for what may have
	// been invalidated, for all that is known here.
	informed := c.p.lease.Valid(time.Now())
	if b := q.base; b != nil && (!informed || c.p.ledger.Check(&b.Stamp, b.Members) > invalidation.Soft) {
		q.base = nil
	}
	if b := q.parts; b != nil && (!informed || c.p.ledger.Check(&b.Of.Stamp, b.Of.Members) > invalidation.Soft) {
		q.parts = nil
	}
	req := c.outgoing()
	sent := c.p.ask(q.route, q.why, c.span, req)
	resp, err := q.route.origin.Send(req, slot)
	c.resp = resp
	sent(resp, err)
	return resp, err
}

// outgoing is the request as the origin gets it.
func (c *call) outgoing() *http.Request {
	q := c.q
	h := q.forward.Clone()
	if q.base != nil {
		httpcache.AddValidators(h, q.base.Header())
	}
	q.askFor(h)
	httpcache.OfferSurrogate(h, q.route.Targets)
	// The client's address is not part of the key: unless the request is one person's, the origin does not learn it. Nor does
	// it learn a Host that is not: whoever asks first would choose the links in the answer for all. What else is here of the
	// way that the request came is part of the key, or was said by a trusted proxy.
	httpcache.Forward(h, q.client, q.target.Scheme, q.route.keyedHost(q.target.Host), true)
	httpcache.AppendVia(h, 1, 1)
	h[requestIDField] = []string{c.id}
	req := (&http.Request{
		Method: q.method, URL: &url.URL{}, Header: h, Host: q.route.origin.Host(q.target.Host),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(q.informed(c.ctx))
	if q.content != nil {
		req.Body, req.ContentLength = again(q.content), int64(len(q.content))
	}
	upstream.SetTarget(req, q.route.origin.URL(), q.target.WithQuery(q.query))
	return req
}

// drain reads the little that may come with a 304, so that the connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // a body that cannot be read costs the connection, nothing else
	resp.Body.Close()
}
