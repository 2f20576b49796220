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

// receiveHeader decides from the header which requests may use the answer, before any of them gets a byte: a request that has begun to read cannot
// be told that the answer is not for it. Later the decision can only become narrower: a body that outgrows its limit is not stored, and put checks
// again everything that may have changed while the body came.
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
	if confirmed { // the answer is what is stored, with what the 304 says anew (RFC 9111 §4.3.4)
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
		// The stored header has no surrogate keys, and a 304 may leave them out: the copy keeps the ones it came with.
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
			c.unbind() // the whole came, and will be stored: the fill goes on even if the client, which wants a part, leaves
		}
	}
	if res.Verdict.Store || res.Verdict.Share {
		r.StoredHeader(header) // it changes header, which nothing else uses, and by which everything has been decided
	} else {
		httpcache.StripFilled(header) // its cookies are for the one who asked
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

// judge decides whether the answer to q may be stored and shared. If q asks for a part and the answer is a part that may be stored, judge returns
// the part. To any other request, a part is not stored. Any other answer to a request for a part, except the whole, may be about its Range, and is
// not shared.
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

// union is what a or b has, sorted as invalidation.IDsOf has it.
func union(a, b []invalidation.ID) []invalidation.ID {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// publish publishes the answer to the waiting requests, and has the body fetched. The leader's reader is attached before the body is shared: a body
// that is not kept ends with its last reader, so that a request which attaches and leaves before the leader has attached would end the body for
// the leader. The goroutine that fetches the body is started last; the body is all that it shares with the requests.
//
// A body that is at hand needs no goroutine. It is read and its copy stored first, so that waiting requests are woken once, for head and body
// together. No request can join between publication and storing, but none needs to: the copy is stored before the flight is closed, as in pump.
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
		// Only the leader's client reads the body, which may take as long as that client likes.
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

// pumpApart fetches the body on a goroutine of its own. It is a func of its own so that res escapes to the heap only here, and not in every publish.
func (c *running) pumpApart(resp *http.Response, res Response) {
	c.f.tasks.Go(func() { c.pump(resp, res) })
}

// storesAtOnce reports whether storing the complete body waits neither for a tier nor for compression, so that readers are not delayed much if the
// copy is stored before they see the end.
func (c *running) storesAtOnce(res Response) bool {
	return res.Verdict.Store && !httpcache.Passing(res.Status) && !c.q.Route.Compresses(res.Status, res.Header)
}

// remember marks that the answer to this question could not be shared, so that requests do not wait for the next one, and drops the copy that the
// answer contradicts.
func (c *running) remember(res Response, fetch policy.Fetch) {
	switch {
	case c.q.Personal: // the answer says nothing about what other clients get
	case res.Ranged && res.Status != http.StatusOK: // the answer says nothing about the whole
	case res.Verdict.Share, httpcache.Passing(res.Status):
		// An answer such as 429 says nothing about the resource: the copy stays, and requests go on sharing fetches.
	case res.Spared:
	default:
		fetch.Through, fetch.Accepting = true, nil // as the answer to a request that is sent through is judged
		c.markShareless(res, res.Verdict.Reason, c.q.Route.Judge(fetch).Store)
		c.contradict(res.Token)
	}
}

// confirm stores the copy anew with the header of a 304. The copy is stored before the response is published and the flight closed: a request that
// comes before that joins the flight, and one that comes after finds the renewed copy and not the expired one.
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
		// It is still right, but by what the origin says now it must not be kept (RFC 9111 §4.3.4, §3).
		c.f.store.Drop(c.baseKey, c.base)
	}
	c.flight.publish(res, false)
	c.end()
	return res
}
