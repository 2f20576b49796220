package proxy

import (
	"math/rand/v2"
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
)

// headMiss sends a HEAD that no copy answers through. What it brings renews the copy that it is about, and ends a copy of
// something else (RFC 9111 §4.3.5).
func (ex *exchange) headMiss(c candidate) {
	requested := time.Now()
	ex.passOr(policy.HeadMiss, c, func(res *http.Response) {
		if c.Copy == nil || !isSuccess(c.Copy.Status) || res.StatusCode != http.StatusOK {
			return
		}
		switch stored := c.Copy.Header(); {
		case policy.HeadContradicts(stored, res.Header):
			ex.p.store.Drop(c.Key, c.Copy)
		case policy.HeadConfirms(stored, res.Header) && ex.route.AsksAsFill(ex.r.Header, ex.selecting(c)):
			ex.status.Stored = ex.confirmed(c, res.Header, requested)
		}
	})
}

// confirmed makes of a copy the one that a HEAD has confirmed. It reports whether that is stored: not if anything about it was
// invalidated since the request came, before which the copy was looked up. A later token would not do: what was purged between
// the look-up and the token would come back by it.
func (ex *exchange) confirmed(c candidate, head http.Header, requested time.Time) bool {
	q := ex.request(c, upstream.Fill)
	header := policy.MergeNotModified(c.Copy.Header(), head)
	verdict := ex.route.Judge(policy.Fetch{
		Method: http.MethodGet, Requested: requested, Received: time.Now(), Status: c.Copy.Status, Header: header,
		BodyLength: int64(c.Copy.Length()), MaxObject: ex.cfg.MaxObject, Jitter: rand.Float64(), Forwarded: q.Forward,
	})
	a := fill.NewAnswer(q, c.Copy.Status, header, verdict, ex.arrival, ex.start)
	a.Selection = ex.selection(verdict.Vary)
	return ex.p.fills.Confirm(a, c.Key, c.Copy) == policy.NoReason
}
