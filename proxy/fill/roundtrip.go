package fill

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// roundTrip waits for a place at the origin, takes the token, and sends the request, in this order. A token from
// before the wait would be as old as the wait was long, and every invalidation during the wait would keep the answer
// from being shared and stored. A token from after the request would be younger than the data that the origin may
// have read. An invalidation between the origin's read and the token would stand before the token, and the copy would
// outlive that invalidation. roundTrip checks the copy to be confirmed and the parts to be completed after the token
// for the same reason.
//
// When an answer is not usable, run calls roundTrip again, and the flight has the token of the last request. The
// requests that joined by the first token have asked for nothing younger than that token.
func (c *running) roundTrip() (*http.Response, error) {
	q := c.q
	slot, err := q.Route.Origin.Acquire(c.ctx, upstream.Place{Class: q.Class, Route: q.Route.Name, Client: q.Asker})
	if err != nil {
		return nil, fmt.Errorf("fetch from upstream %s: %w", q.Route.Origin.Name(), err)
	}
	c.slot, c.resp = slot, nil
	c.taken = time.Now()
	c.token = c.f.flights.send(c.flight)
	// A copy that was invalidated before the token must not be confirmed: a 304 would bring the copy back. Without a
	// lease, every copy may have been invalidated unknown to this instance.
	informed := c.f.lease.Valid(time.Now())
	if b := c.base; b != nil && (!informed || c.f.ledger.Check(&b.Stamp, b.Members()) > invalidation.Unconfirmed) {
		c.base = nil
	}
	if m := c.missing; m != nil && (!informed || !m.completable(c.f.ledger)) {
		c.missing = nil
	}
	req := c.outgoing()
	sent := q.Route.Sending(q.Why, c.span, req)
	resp, err := q.Route.Origin.Send(req, slot)
	c.resp = resp
	sent(resp, err)
	return resp, err
}

// added is about how many fields a fill adds to those of a client.
const added = 8

// outgoing is the request as the origin gets it.
func (c *running) outgoing() *http.Request {
	q := c.q
	h := make(http.Header, len(c.sent)+added)
	for name, lines := range c.sent { // the lines belong to others too
		h[name] = lines[:len(lines):len(lines)]
	}
	if c.base != nil {
		httpcache.AddValidators(h, c.base.Header())
	}
	switch {
	case q.Range != "":
		h["Range"] = []string{q.Range}
		if q.IfRange != "" {
			h["If-Range"] = []string{q.IfRange}
		}
	case c.missing != nil:
		c.missing.ask(h)
	}
	httpcache.OfferSurrogate(h, q.Route.Targets)
	// The client's address is not part of the key: the origin learns the address only if the request is one client's
	// own. The origin does not learn a Host that is not part of the key either. Otherwise the first client would
	// choose the links in the answer for all clients. The other facts of how the request came are part of the key, or
	// come from a trusted proxy.
	httpcache.Forward(h, q.Client, q.Target.Scheme, q.Route.KeyedHost(q.Target.Host), true)
	httpcache.AppendVia(h, 1, 1)
	h[RequestIDField] = []string{q.ID}
	req := new(http.Request).WithContext(withHints(c.ctx, c.flight.hints))
	req.Method, req.Header, req.Host = q.Method, h, q.Route.Origin.Host(q.Target.Host)
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/1.1", 1, 1
	if len(q.Content) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(q.Content))
	} else if q.Content != nil {
		req.Body = http.NoBody
	}
	req.ContentLength = int64(len(q.Content))
	upstream.SetTarget(req, q.Route.Origin.URL(), q.Target.WithQuery(q.Query))
	return req
}

// drain reads the few bytes that may come with a 304, so that the connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // a body that cannot be read costs the connection, nothing else
	resp.Body.Close()
}
