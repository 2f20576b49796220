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

// head sends a HEAD that no copy answers through. What it brings renews the copy that it is about, and makes a copy of something else
// stale, which may stand in for the origin all the same (RFC 9111 §4.3.5). That holds for a HEAD that asks what was asked when the copy was
// fetched: what an origin would answer to other fields is no word about the copy.
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

// confirmed makes of a copy the one that a HEAD has confirmed. It reports whether that is stored: not if anything about it was
// invalidated since the request came, before which the copy was looked up. A later token would not do: what was purged between
// the look-up and the token would come back by it.
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
