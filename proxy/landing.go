package proxy

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// sharelessFor is how long an answer that could not be shared is remembered (hit-for-miss).
const sharelessFor = time.Minute

// land decides from the header who may use the answer, before anybody sees a byte of it.
func (c *call) land(resp *http.Response, requested time.Time) *fill {
	q, r := c.q, c.q.route
	received := time.Now()
	rest := q.parts != nil && resp.StatusCode == http.StatusPartialContent
	if rest {
		q.complete(resp)
	}
	status, header := resp.StatusCode, resp.Header
	confirmed := status == http.StatusNotModified
	length := resp.ContentLength
	if confirmed {
		status, header = q.base.Status, httpcache.MergeNotModified(q.base.Header(), resp.Header)
		length = int64(q.base.Length())
	}
	res := &fill{
		status: status, length: length, token: c.token, age: header["Age"], forward: q.forward, took: received.Sub(c.began),
		ranged: q.ranges != "", rest: rest, id: c.id, span: c.span,
	}
	c.judge(res, policy.Fetch{
		Method: http.MethodGet, Authorized: len(q.header["Authorization"]) > 0, Requested: requested, Received: received,
		Status: status, Header: header, BodyLength: length, MaxObject: c.p.config().MaxObject, Jitter: rand.Float64(),
		Accepting: q.forward["Accept-Encoding"], Forwarded: q.forward,
	})
	members := r.Members(&q.match, q.target, q.query, q.header, header)
	res.ids = invalidation.IDsOf(members)
	if confirmed {
		// The stored header has no surrogate keys, and a 304 may leave them out: the copy keeps the ones it came with.
		res.ids = union(res.ids, q.base.Members)
	}
	if rest {
		res.ids = union(res.ids, q.parts.Of.Members)
	}
	if len(members) > policy.MaxMembers || len(res.ids) > policy.MaxMembers {
		res.verdict.Share, res.verdict.Store, res.verdict.Reason = false, false, policy.TooManyMembers
	}
	if res.verdict.Store && !confirmed && c.yields(status) {
		res.verdict.Store, res.verdict.Reason = false, policy.OriginStatus
	}
	if res.verdict.Store {
		r.learn(res.verdict.Vary)
		if res.ranged && status == http.StatusOK && c.unbind != nil {
			c.unbind() // the whole came, and is worth more than the client that wants a part of it
		}
	}
	kept := r.StoredHeader(header)
	if !res.verdict.Store && !res.verdict.Share {
		kept = httpcache.FilledHeader(header) // its cookies are for the one who asked
	}
	res.header = r.negotiated(status, dated(kept, received))
	if confirmed {
		return c.confirm(resp, res)
	}
	keep := int64(0)
	if res.verdict.Store || res.verdict.Share {
		keep = c.p.config().MaxObject
	}
	res.body = newBody(c.p.store.Memory().Budget(), keep, length)
	res.body.unread = func() { c.cancel(errAbandoned) }
	// Before the first byte comes: a body that is not kept ends when it has no reader.
	res.lead, _ = res.body.attach()
	c.publish(res)
	c.p.tasks.Go(func() { c.pump(resp, res) })
	return res
}

// judge decides what may become of the answer. To a request for a part, a part may be the answer; to any other, it is kept
// by nobody. Any other answer to it than the whole may be about its Range, and is for nobody else.
func (c *call) judge(res *fill, f policy.Fetch) {
	r := c.q.route.Route
	if !res.ranged || f.Status == http.StatusOK {
		res.verdict = r.Judge(f)
		return
	}
	part, verdict := r.JudgePart(f)
	if res.verdict = verdict; verdict.Store {
		res.part = &part
	}
}

// union is all of a and what only b has.
func union(a, b []invalidation.ID) []invalidation.ID {
	for _, id := range b {
		if !slices.Contains(a, id) {
			a = append(a, id)
		}
	}
	return a
}

// dated adds the time of arrival to an answer that does not say when it was made (RFC 9110 §6.6.1). Without it, every
// delivery of the copy would claim to have been made at that moment.
func dated(h http.Header, received time.Time) http.Header {
	if len(h["Date"]) == 0 {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
	return h
}

// publish lets the waiting requests have the answer, or sends them on their way.
func (c *call) publish(res *fill) {
	if !res.verdict.Share || !res.verdict.Store {
		c.fruitless()
	}
	if !res.verdict.Share {
		c.remember(res)
		if !res.verdict.Store {
			// Only the first client reads on: the answer lasts as long as it does.
			c.deadline.Stop()
		}
	}
	c.p.flights.land(c.f, res, res.verdict.Share && res.verdict.Store)
}

// remember notes that waiting for such an answer is of no use.
func (c *call) remember(res *fill) {
	if c.q.personal {
		return // it says nothing of what others get
	}
	if res.ranged && res.status != http.StatusOK {
		return // it says nothing of the whole
	}
	// A client that is told to slow down learns nothing about the resource: a copy of it stays, and requests wait in line.
	if !res.verdict.Store && !httpcache.Passing(res.status) {
		c.p.store.MarkShareless(c.q.key, c.q.forward, time.Now().Add(sharelessFor), res.verdict.Reason)
	}
}

// confirm makes the copy that a 304 renews.
func (c *call) confirm(resp *http.Response, res *fill) *fill {
	drain(resp)
	fresh, err := c.q.route.reseal(c.q.base, res.header, res.verdict.Store)
	if err != nil {
		c.p.store.Drop(c.q.baseKey, c.q.base)
		return c.failed(err)
	}
	fresh.Life = res.verdict.Lifetime
	res.fresh, res.body = fresh, wholeBody(fresh.Body)
	res.lead, _ = res.body.attach()
	res.stored = c.put(res, fresh)
	if !res.verdict.Store && !c.q.personal {
		// It is still right, but by what the origin says now it must not be kept (RFC 9111 §4.3.4, §3).
		c.p.store.Drop(c.q.baseKey, c.q.base)
	}
	c.p.flights.land(c.f, res, false)
	c.end()
	return res
}
