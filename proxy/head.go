package proxy

import (
	"math/rand/v2"
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
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
		case httpcache.HeadContradicts(stored, res.Header):
			ex.p.store.Drop(c.Key, c.Copy)
		case httpcache.HeadConfirms(stored, res.Header) && ex.route.AsksAsFill(ex.r.Header, ex.selecting(c)):
			ex.status.Stored = ex.renew(c, res.Header, requested)
		}
	})
}

// renew makes of a copy the one that a HEAD has confirmed. It reports whether that is stored: not if anything about it was
// invalidated since the request came, before which the copy was looked up.
func (ex *exchange) renew(c candidate, head http.Header, requested time.Time) bool {
	p, r := ex.p, ex.route
	header, received := httpcache.MergeNotModified(c.Copy.Header(), head), time.Now()
	verdict := r.Judge(policy.Fetch{
		Method: http.MethodGet, Requested: requested, Received: received, Status: c.Copy.Status, Header: header,
		BodyLength: int64(c.Copy.Length()), MaxObject: ex.cfg.MaxObject, Jitter: rand.Float64(),
		Forwarded: ex.selection(ex.selecting(c)),
	})
	if !verdict.Store { // it is still right, but by what the origin says now it must not be kept
		p.store.Drop(c.Key, c.Copy)
		return false
	}
	fresh, err := r.reseal(c.Copy, r.negotiated(c.Copy.Status, dated(r.StoredHeader(header), received)), true)
	if err != nil {
		p.store.Drop(c.Key, c.Copy)
		return false
	}
	// The stored header has no surrogate keys: the copy keeps the ones it came with.
	ids := union(invalidation.IDsOf(r.Members(&ex.match, ex.target, ex.query, ex.r.Header, header)), c.Copy.Members)
	p.ledger.Retain(verdict.Lifetime.Retention())
	if len(ids) > policy.MaxMembers || !p.ledger.Admits(ex.arrival, ids) {
		return false
	}
	fresh.Life, fresh.Vary, fresh.Members = verdict.Lifetime, verdict.Vary, ids
	fresh.Stamp.Set(ex.arrival)
	p.store.Put(string(ex.key), ex.selection(verdict.Vary), fresh)
	return true
}
