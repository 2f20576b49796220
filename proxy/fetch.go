package proxy

import (
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
)

// maxAttempts bounds how often a request is decided again because the shared answer that the request waited for was not
// for this request. After that the request fetches alone.
const maxAttempts = 4

// ask carries out a decision to ask the origin, for this request and others or for this request alone. ask reports
// false if the request has to be decided again.
//
// If a stale copy may stand in for a failing origin, one request at a time is the probe of the copy. While the probe
// has no answer from an origin that failed before, the copy answers other requests.
func (ex *exchange) ask(d *decision) (answered bool) {
	if c := d.found.Copy; c != nil && d.found.use == httpcache.StaleOnError {
		switch now := time.Now(); {
		case c.Use.StartRenewal(now):
			ex.probing = c
			defer ex.probed()
		case c.Use.Failing(now) && !onlyIfCached(ex.r.Header):
			return false // since the decision, another request has become the probe, or a failure has begun a pause
		}
	}
	switch d.step {
	case fetchShared:
		return ex.together(d)
	case passHead:
		ex.head(d)
	default:
		ex.alone(d)
	}
	return true
}

// probed ends this request's part as the probe, if the request is the probe: whether the origin answers is known.
// probed runs before any byte goes to the client. Otherwise a slow client would keep the next request from becoming the
// probe.
func (ex *exchange) probed() {
	if ex.probing != nil {
		ex.probing.Use.EndRenewal(ex.start, 0)
		ex.probing = nil
	}
}

// alone fetches an answer for this request only; the answer may still be stored.
func (ex *exchange) alone(d *decision) {
	q := ex.fillRequest(d.found, upstream.Fill, ex.span)
	q.Hints, q.Asker = true, ex.asker()
	if d.part {
		q.Range, q.IfRange = ex.r.Header.Get("Range"), ex.r.Header.Get("If-Range")
	}
	t := ex.p.fills.Alone(ex.r.Context(), ex.flightKey(d.found, q.Forward), ex.known(), q)
	res, lead, why := t.Await(ex.r.Context(), 0, ex.inform)
	if why != policy.NoReason { // only the client's leaving ends this wait
		t.Abandon()
		ex.gone()
	}
	if !res.Again {
		ex.accept(&res, d, d.status(ex.start), lead)
		return
	}
	now := time.Now()
	found := ex.p.lookUp(&ex.request, now)
	if found.use != httpcache.Fresh {
		ex.pass(found.reason) // the copy that the fill has found is not usable any more
		return
	}
	next := ex.fromCopy(found, policy.Hit, policy.NoReason, now)
	ex.execute(&next)
}

// together joins or leads the flight for this request's key. together reports false if the request has to be decided
// again.
func (ex *exchange) together(d *decision) (answered bool) {
	status := d.status(ex.start)
	j := fill.Joiner{Key: ex.flightKey(d.found, ex.asks(d.found).forward), Known: ex.known(), MaxWaiters: ex.route.MaxWaiters, LeaseLost: ex.lease == leaseLost}
	t := ex.p.fills.Join(j, func() *fill.Request {
		found := ex.p.lookUp(&ex.request, time.Now())
		if found.use == httpcache.Fresh {
			return nil
		}
		q := ex.fillRequest(found, upstream.Fill, ex.span)
		q.Hints, q.Asker = true, ex.asker()
		return q
	})
	switch t.Role {
	case fill.AlreadyStored:
		return false
	case fill.Full:
		ex.passUnless(d.found, &policy.Status{Reason: policy.WaitersFull, Apart: true}, nil)
		return true
	}
	res, lead, why := t.Await(ex.r.Context(), ex.route.patience(), ex.inform)
	switch {
	case why == policy.ClientGone:
		t.Abandon()
		ex.gone()
	case why != policy.NoReason:
		ex.passUnless(d.found, &policy.Status{Reason: why, Apart: true}, nil)
		return true
	}
	if t.Role == fill.Joined {
		ex.span.Link(res.Span)
	}
	switch {
	case res.Again:
		return false
	case t.Role == fill.Leads:
		// If Vary names a field that this request has and the fill did not forward, the answer is for requests without the field.
		if ex.selects(&res) || !res.Verdict.Share {
			ex.accept(&res, d, status, lead)
			return true
		}
		lead.Detach()
	case failed(&res) && !ex.sharesFailure(&res, d.found):
		ex.elect(&res)
	case ex.mayShare(&res, ex.p.ledger):
		from, proved := ex.proved(&res, d.found)
		if !proved {
			break
		}
		status.Outcome, status.Collapsed = policy.Collapsed, true
		if ex.accept(&res, d, status, from) {
			return true
		}
	}
	ex.waited = t.Role == fill.Joined
	// An answer that is stored, but that each request has to have confirmed, gets no mark as shareless, because there
	// is a copy. apart remembers the need on the request.
	ex.apart = res.Verdict.Store && !res.Verdict.Share
	if !res.Verdict.Store && !res.Verdict.Share && !failed(&res) && !httpcache.Passing(res.Status) {
		ex.unshared++
	}
	return false
}

// mayShare reports whether an answer that was fetched for another request may answer this one.
func (rq *request) mayShare(res *fill.Response, ledger *invalidation.Ledger) bool {
	if res.Reason != policy.NoReason {
		return true // an error is shared with all
	}
	if !res.Verdict.Share || !rq.selects(res) {
		return false
	}
	// If a member was invalidated after the token was taken, the invalidation may have come before this request. The
	// answer is then too old for the request.
	return !res.Token.Before(rq.arrival) || !ledger.Since(res.Token, res.Members)
}

// selects reports whether this request selects the same variant as the request that was fetched (RFC 9111 §4.1).
func (rq *request) selects(res *fill.Response) bool {
	vary := res.Verdict.Vary
	return res.Reason != policy.NoReason || len(vary) == 0 || httpcache.VaryMatch(vary, rq.selection(vary), res.Forward)
}

// accept answers the request with the response of a fetch, whose body accept reads through from; nil: accept attaches a
// reader. If the beginning of the body is gone, accept sends nothing and reports false.
func (ex *exchange) accept(res *fill.Response, d *decision, status policy.Status, from *fill.Reader) bool {
	if from == nil {
		var ok bool
		if from, ok = res.Attach(); !ok {
			return false
		}
	}
	if status.Collapsed {
		ex.route.Metrics.Coalesced()
	}
	if from != nil {
		defer from.Detach()
	}
	ex.origin, ex.originID, ex.address = min(res.Took, time.Since(ex.start)), res.ID, res.Address
	if res.Reason != policy.NoReason || originFailed(res.Status) {
		if ex.serveStaleOnError(res, d.found, status) {
			return true
		}
	}
	ex.probed()
	if res.Reason != policy.NoReason {
		ex.fail(status, res.Reason, res.Err)
		return true
	}
	if reason := ex.notForThis(res); reason != policy.NoReason {
		from.Detach()
		ex.pass(reason)
		return true
	}
	shown, why, err := ex.stretchOf(ex.r.Context(), res, from)
	switch why {
	case policy.NoReason:
	case policy.ClientGone:
		ex.gone()
	case policy.RangeRequest:
		from.Detach()
		ex.pass(why)
		return true
	default:
		ex.fail(status, why, err)
		return true
	}
	status = fetched(res, status)
	if res.Length < 0 && d.found.shareless == policy.TooLarge {
		status.Stored = false // the last answer was too large in the end, and this answer probably is as well
	}
	// Cache-Status goes out with the head, before the answer is stored. If a member was invalidated before this moment,
	// the answer will not be stored, and Cache-Status can say so. An invalidation between the head and the end of the
	// body comes too late for Cache-Status.
	if status.Stored && res.Confirmed == nil && !ex.p.ledger.Admits(res.Token, res.Members) {
		status.Stored, status.Detail = false, policy.Outdated.String()
	}
	ex.settle(status)
	if err := ex.deliverFill(res, from, shown); err != nil {
		ex.unpackFailed(err)
	}
	return true
}

// fetched completes the Status of an answer from the response of the fetch.
func fetched(res *fill.Response, status policy.Status) policy.Status {
	status.FwdStatus = res.Status
	if res.Completed {
		status.FwdStatus = http.StatusPartialContent
	}
	if res.Confirmed != nil {
		status.FwdStatus = http.StatusNotModified
		if status.Outcome == policy.Miss {
			status.Outcome = policy.Revalidated
		}
	}
	status.Stored = res.Stored || (res.Confirmed == nil && res.Verdict.Store)
	if !res.Verdict.Store && res.Verdict.Reason != policy.OriginStatus { // fwd-status already tells OriginStatus
		status.Detail = res.Verdict.Reason.String()
	}
	return status
}

// notForThis returns the reason why the response of a fetch must not answer this request; NoReason: the response may
// answer. For any other reason the request is passed to the origin unchanged. Either the response does not meet a
// precondition, or the response is a whole that is not stored and the client wants a part.
func (rq *request) notForThis(res *fill.Response) policy.Reason {
	switch {
	case isSuccess(res.Status) && !httpcache.MeetsPreconditions(rq.r.Header, res.Header):
		return policy.Precondition
	case len(rq.ranges) > 0 && res.Status == http.StatusOK && !res.Verdict.Store && res.Confirmed == nil && !res.Ranged:
		return policy.RangeRequest
	}
	return policy.NoReason
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

// originFailed reports whether a status counts as an error for stale-if-error (RFC 5861 §4).
func originFailed(status int) bool { return fill.OriginFailed(status) }

// serveStaleOnError answers with a stale copy in place of an error of the origin, if the copy allows that, and reports
// whether the request is answered.
func (ex *exchange) serveStaleOnError(res *fill.Response, found candidate, status policy.Status) bool {
	if found.Copy == nil {
		// The fill may have promoted a copy from a tier below memory, or stored this very error.
		if found = ex.p.lookUp(&ex.request, time.Now()); found.Copy != nil && httpcache.Passing(found.Copy.Status()) {
			return false
		}
	}
	if !ex.standsIn(found, ex.p.ledger) {
		return false
	}
	why := res.Reason
	if why == policy.NoReason {
		why = policy.OriginStatus
	}
	status.FwdStatus = res.Status
	ex.serveInstead(found, why, status, res.Header, res.Forward)
	return true
}

// serveInstead answers with a copy in place of an answer from the origin. status says more about the fetch. header is
// the header of the origin's error; nil: the origin gave no answer. asked is the header that a fill forwarded to the
// origin; nil: the request itself was sent, with more than a fill forwards.
//
// If the failed request asked the same as a renewal of the copy would ask, the failure is noted on the copy. For a
// pause, the copy answers at once without a request to the origin; after the pause, one request asks again. The failure
// of any other request is not noted: the origin may have failed because of one client's fields, and everybody would
// then get the old copy although the origin works. Instead serveInstead queues a renewal, and the result of the renewal
// is noted.
func (ex *exchange) serveInstead(found candidate, why policy.Reason, status policy.Status, header, asked http.Header) {
	alike := asked != nil && asksAsRenewal(ex.route.Route.Route, asked, found)
	if fill.FailedAtOrigin(why) && alike {
		fill.Failed(found.Copy, true, header)
	}
	ex.probed()
	if fill.FailedAtOrigin(why) && !alike {
		ex.p.fills.Renew(time.Now(), found.Copy, func() fill.Renewal { return ex.renewal(found, upstream.Fill, ex.span) })
	}
	d := ex.fromCopy(found, policy.Stale, why, time.Now())
	if d.step != serveCopy {
		ex.execute(&d)
		return
	}
	told := d.status(ex.start)
	told.FwdStatus, told.Apart, told.Collapsed = status.FwdStatus, status.Apart, status.Collapsed
	ex.deliver(&d, told)
}

// standsIn reports whether the copy may be served in place of an error of the origin at this moment. standsIn judges
// the copy anew, since the copy may have been purged after the look-up.
func (rq *request) standsIn(found candidate, ledger *invalidation.Ledger) bool {
	if found.Copy == nil {
		return false
	}
	rq.judge(&found, ledger, time.Now())
	return found.use >= httpcache.StaleOnError
}
