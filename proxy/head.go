package proxy

import (
	"math/rand/v2"
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
)

// head passes a HEAD that no copy answers. An answer that agrees with the stored copy renews the copy. An answer that
// contradicts the copy makes the copy stale, so that the copy may only stand in for a failing origin (RFC 9111 §4.3.5).
// Both require that the HEAD asks the same as the fetch of the copy: an answer to other fields says nothing about the
// copy.
func (ex *exchange) head(d *decision) {
	requested, c := time.Now(), d.found
	status := d.status(ex.start)
	ex.passUnless(c, &status, func(res *http.Response) {
		if c.Copy == nil || !isSuccess(c.Copy.Status()) || res.StatusCode != http.StatusOK {
			return
		}
		asks := ex.asks(c)
		if !ex.route.AsksAsFill(ex.r.Header, asks.names) || c.Copy.Asked() != httpcache.Negotiation(asks.forward) {
			return
		}
		switch stored := c.Copy.Header(); {
		case httpcache.HeadContradicts(stored, res.Header):
			c.Copy.Use.Outdate()
		case httpcache.HeadConfirms(stored, res.Header):
			status.Stored = ex.confirmed(c, res.Header, requested)
		}
	})
}

// confirmed stores the copy anew with the header of a HEAD that has confirmed the copy, and reports whether the copy
// was stored. The token is the request's arrival, which is earlier than the look-up of the copy: if a member of the
// copy was invalidated since, nothing is stored. A later token would be wrong: a copy that was purged between the
// look-up and the token would become valid again.
func (ex *exchange) confirmed(c candidate, head http.Header, requested time.Time) bool {
	q := ex.fillRequest(c, upstream.Fill, ex.span)
	header := httpcache.MergeNotModified(c.Copy.Header(), head)
	verdict := ex.route.Judge(policy.Fetch{
		Method: http.MethodGet, Requested: requested, Received: time.Now(), Status: c.Copy.Status(), Header: header,
		BodyLength: int64(c.Copy.Length()), MaxObject: ex.cfg.MaxObject, Jitter: rand.Float64(), Forwarded: q.Forward, Selected: q.Selected,
	})
	a := fill.NewAnswer(q, c.Copy.Status(), header, verdict, ex.arrival, ex.start)
	a.Selection = ex.selection(verdict.Vary)
	return ex.p.fills.Confirm(a, c.Key, c.Copy) == policy.NoReason
}
