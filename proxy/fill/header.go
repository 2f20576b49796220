package fill

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// receiveHeader decides from the header which requests may use the answer, before any request gets a byte. A request
// that has begun to read cannot be told that the answer is not for this request. Later the decision can only become
// narrower: a body that outgrows its limit is not stored. put checks again everything that may have changed during
// the body.
func (c *running) receiveHeader(resp *http.Response, requested time.Time) Response {
	q, r := c.q, c.q.Route
	received := time.Now()
	completed := c.missing != nil && resp.StatusCode == http.StatusPartialContent
	if completed {
		c.missing.complete(resp)
	}
	status, header := resp.StatusCode, resp.Header
	confirmed := status == http.StatusNotModified
	length := resp.ContentLength
	if confirmed { // the answer is the stored response, updated by the 304 (RFC 9111 §4.3.4)
		status, header = c.base.Status(), httpcache.MergeNotModified(c.base.Header(), resp.Header)
		length = int64(c.base.Length())
	}
	res := Response{
		Status: status, Length: length, Token: c.token, Age: header["Age"], Forward: c.sent, Took: received.Sub(c.began),
		Ranged: q.Range != "", Completed: completed, ID: q.ID, Span: c.span, Address: upstream.Peer(resp),
	}
	fetch := policy.Fetch{
		Method: http.MethodGet, Authorized: len(q.Header["Authorization"]) > 0, Requested: requested, Received: received,
		Status: status, Header: header, BodyLength: length, MaxObject: q.MaxObject, Jitter: rand.Float64(),
		Accepting: c.sent["Accept-Encoding"], Forwarded: c.sent, Selected: q.Selected,
	}
	res.Verdict, c.part = judge(q, fetch)
	ids, ok := q.members(header)
	if confirmed {
		// The stored header has no surrogate keys, and a 304 may leave them out. The copy keeps the members that base
		// has.
		ids = union(ids, c.base.Members())
	}
	if completed {
		ids = union(ids, c.missing.of.Of.Members())
	}
	if !ok || len(ids) > policy.MaxMembers {
		keepFrom(&res.Verdict, policy.TooManyMembers)
	}
	res.Members = ids
	if res.Verdict.Store && !confirmed && c.f.keepsStandIn(status, r, q.Key, c.sent) {
		res.Verdict.Store, res.Verdict.Reason = false, policy.OriginStatus
	}
	if !confirmed && c.spares(status, res.Verdict.Store) {
		res.Spared = true
		if res.Verdict.Store {
			res.Verdict.Store, res.Verdict.Reason = false, policy.OriginStatus
		}
	}
	if !res.Verdict.Store && !confirmed {
		c.remember(res, fetch)
	}
	if res.Verdict.Store {
		r.Learn(r.Prefers.Told(res.Verdict.Vary, header))
		if res.Ranged && status == http.StatusOK && c.unbind != nil {
			c.unbind() // the whole will be stored, even if the client, which wants a part, leaves
		}
	}
	if res.Verdict.Store || res.Verdict.Share {
		r.StoredHeader(header) // changes header, which nothing else uses; all decisions by header are made
	} else {
		httpcache.StripFilled(header) // the cookies are for the leader's client only
		r.StripTags(header)
	}
	res.Header = r.negotiated(status, dated(header, received))
	if confirmed {
		return c.confirm(resp, res)
	}
	return c.publish(resp, res)
}

// keepFrom changes a verdict so that the answer is neither stored nor shared.
func keepFrom(v *policy.Verdict, why policy.Reason) { v.Share, v.Store, v.Reason = false, false, why }

// judge decides whether the answer to q may be stored and shared. If q asks for a part and the answer is a part that
// may be stored, judge returns that part. A part in answer to any other request is not stored. An answer to a request
// for a part that is neither a part to be stored nor the whole may be about the Range of q, and is not shared.
func judge(q *Request, f policy.Fetch) (policy.Verdict, *httpcache.PartOf) {
	if q.Range == "" || f.Status == http.StatusOK {
		return q.Route.Judge(f), nil
	}
	part, verdict := q.Route.JudgePart(f)
	if !verdict.Store {
		return verdict, nil
	}
	return verdict, &part
}

// union is the members of a and b, sorted as invalidation.IDsOf sorts, without duplicates.
func union(a, b []invalidation.ID) []invalidation.ID {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// publish publishes the answer to the waiting requests, and starts the fetch of the body. publish attaches the
// leader's reader before the body is shared. A body that is not kept ends with its last reader. If another request
// attached and left before the leader's reader is attached, the body would end for the leader. publish starts the
// goroutine that fetches the body last. That goroutine shares only the body with the requests.
//
// A body that is at hand needs no goroutine. publish reads the body and stores the copy first, so that waiting
// requests wake once, for header and body together. No request can join between publication and storing, and none
// needs to: as in pump, the copy is stored before the flight is closed.
func (c *running) publish(resp *http.Response, res Response) Response {
	keep := int64(0)
	if res.Verdict.Store || res.Verdict.Share {
		keep = c.q.MaxObject
	}
	res.body = newBody(c.f.store.Memory().Budget(), keep, res.Length)
	res.body.unread = func() { c.cancel(errAbandoned) }
	res.lead = res.body.leader()
	if !res.Verdict.Share || !res.Verdict.Store {
		c.releaseUnshared()
	}
	if !res.Verdict.Share && !res.Verdict.Store {
		// Only the leader's client reads the body. The client may take any time for that.
		c.deadline.Stop()
	}
	if c.storesAtOnce(res) && upstream.AtHand(resp) {
		c.read(resp, res)
		c.flight.publish(res, false)
		c.end()
		return res
	}
	c.flight.publish(res, res.Verdict.Share && res.Verdict.Store)
	c.pumpApart(resp, res)
	return res
}

// pumpApart fetches the body on a goroutine of its own. As a separate func, pumpApart moves res to the heap only
// here, and not in every publish.
func (c *running) pumpApart(resp *http.Response, res Response) {
	c.f.tasks.Go(func() { c.pump(resp, res) })
}

// storesAtOnce reports whether storing the complete body waits neither for a tier nor for compression. Then readers
// lose little time if the copy is stored before they see the end.
func (c *running) storesAtOnce(res Response) bool {
	return res.Verdict.Store && !httpcache.Passing(res.Status) && !c.q.Route.Compresses(res.Status, res.Header)
}

// remember marks that the answer to this question could not be shared, so that requests do not wait for the next
// answer. remember also drops the copy that the answer contradicts.
func (c *running) remember(res Response, fetch policy.Fetch) {
	switch {
	case c.q.Personal: // the answer says nothing about what other clients get
	case res.Ranged && res.Status != http.StatusOK: // the answer says nothing about the whole
	case res.Verdict.Share, httpcache.Passing(res.Status):
		// An answer such as 429 says nothing about the resource: the copy stays, and requests go on sharing fetches.
	case res.Spared:
	default:
		fetch.Through, fetch.Accepting = true, nil // judged like the answer to a request that is sent through
		c.markShareless(res, res.Verdict.Reason, c.q.Route.Judge(fetch).Store)
		c.contradict(res.Token)
	}
}

// confirm stores the copy anew with the header of a 304. confirm stores the copy before the response is published and
// the flight closed. A request that comes before that joins the flight. A request that comes later finds the renewed
// copy and not the expired copy.
func (c *running) confirm(resp *http.Response, res Response) Response {
	drain(resp)
	fresh, err := renewCopy(c.q.Route, c.base, res.Header, res.Verdict.Store)
	if err != nil {
		c.f.store.Drop(c.baseKey, c.base)
		return c.failed(err)
	}
	defer fresh.Release()
	fresh.SetLife(res.Verdict.Lifetime)
	res.Confirmed, res.body = fresh, wholeBody(fresh)
	res.lead = res.body.leader()
	res.Stored = c.keep(res, contentOf(fresh))
	if !res.Verdict.Store && !c.q.Personal {
		// The copy is right, but by the origin's new header the copy must not be kept (RFC 9111 §4.3.4, §3).
		c.f.store.Drop(c.baseKey, c.base)
	}
	c.flight.publish(res, false)
	c.end()
	return res
}
