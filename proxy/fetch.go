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

// maxAttempts bounds how often a request looks again because the answer it waited for is not for it. After that it goes
// to the origin itself.
const maxAttempts = 4

// ask asks the origin on behalf of a request, with others or alone. Of those that a copy could answer where the origin fails, the one that
// asks first is the probe: if the origin failed before, the others are given the copy until that one has its answer.
func (ex *exchange) ask(d *decision) (answered bool) {
	if c := d.found.Copy; c != nil && d.found.use == httpcache.StaleOnError {
		switch now := time.Now(); {
		case c.Use.StartRenewal(now):
			ex.probing = c
			defer ex.probed()
		case c.Use.Failing(now) && !onlyIfCached(ex.r.Header):
			return false // another has become the probe since this request was decided
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

// probed ends the probe: its answer is known, or will not be. It comes before any byte goes to the client, who may take its time.
func (ex *exchange) probed() {
	if ex.probing != nil {
		ex.probing.Use.EndRenewal(ex.start, 0)
		ex.probing = nil
	}
}

// alone fetches for this request only; what comes may still be stored.
func (ex *exchange) alone(d *decision) {
	q := ex.fillRequest(d.found, upstream.Fill, ex.span)
	q.Hints, q.Asker = true, ex.asker()
	if d.part {
		q.Range, q.IfRange = ex.r.Header.Get("Range"), ex.r.Header.Get("If-Range")
	}
	t := ex.p.fills.Alone(ex.r.Context(), ex.flightKey(d.found, q.Forward), ex.known(), q)
	res, lead, why := t.Await(ex.r.Context(), 0, ex.inform)
	if why != policy.NoReason { // nobody but the client ends this wait
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
		ex.pass(found.reason) // gone again in the meantime
		return
	}
	next := ex.fromCopy(found, policy.Hit, policy.NoReason, now)
	ex.execute(&next)
}

// together joins or leads the flight for this request's key. It reports false where the request has to be decided once more.
func (ex *exchange) together(d *decision) (answered bool) {
	status := d.status(ex.start)
	j := fill.Joiner{Key: ex.flightKey(d.found, ex.asks(d.found).forward), Known: ex.known(), MaxWaiters: ex.route.MaxWaiters, LeaseLost: ex.lease == leaseLost}
	t := ex.p.fills.Join(j, func() *fill.Request {
		now := ex.p.lookUp(&ex.request, time.Now())
		if now.use == httpcache.Fresh {
			return nil
		}
		q := ex.fillRequest(now, upstream.Fill, ex.span)
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
		// A fill with fields that Vary selects but the fill did not forward is an answer to somebody else.
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
	// What is stored but has to be confirmed for each request is not marked shareless: it is a copy.
	ex.apart = res.Verdict.Store && !res.Verdict.Share
	if !res.Verdict.Store && !res.Verdict.Share && !failed(&res) && !httpcache.Passing(res.Status) {
		ex.unshared++
	}
	return false
}

// mayShare reports whether an answer that was fetched for another request is one for this request too.
func (rq *request) mayShare(res *fill.Response, ledger *invalidation.Ledger) bool {
	if res.Reason != policy.NoReason {
		return true // an error is everybody's
	}
	if !res.Verdict.Share || !rq.selects(res) {
		return false
	}
	// Something was invalidated after the token, perhaps before this request came: then the answer is too old for it.
	return !res.Token.Before(rq.arrival) || !ledger.Since(res.Token, res.Members)
}

// selects reports whether the request selects the same variant as the one that was fetched (RFC 9111 §4.1).
func (rq *request) selects(res *fill.Response) bool {
	vary := res.Verdict.Vary
	return res.Reason != policy.NoReason || len(vary) == 0 || httpcache.VaryMatch(vary, rq.selection(vary), res.Forward)
}

// accept answers the request with what a fetch brought, which it reads through from; nil: from a reader of its own. It
// reports false when the answer's beginning is gone already.
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
		status.Stored = false // it was found to be too large when it came last
	}
	// The head goes out before the answer is stored. What was invalidated until then will not be; what is between the head and the end of
	// the body cannot be told any more.
	if status.Stored && res.Confirmed == nil && !ex.p.ledger.Admits(res.Token, res.Members) {
		status.Stored, status.Detail = false, policy.Outdated.String()
	}
	ex.settle(status)
	if err := ex.deliverFill(res, from, shown); err != nil {
		ex.unpackFailed(err)
	}
	return true
}

// fetched is what is told about an answer that a fetch has brought; status is what was known before.
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
	if !res.Verdict.Store && res.Verdict.Reason != policy.OriginStatus { // which is what fwd-status says
		status.Detail = res.Verdict.Reason.String()
	}
	return status
}

// notForThis says why an answer that came whole is not the one to give to this request, which the origin then gets as it
// came: it does not meet a precondition, or is not kept and more than was asked for.
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

// serveStaleOnError serves a stale copy in place of an error, where the copy allows it.
func (ex *exchange) serveStaleOnError(res *fill.Response, found candidate, status policy.Status) bool {
	if found.Copy == nil {
		// The fill may have brought one up from a tier below memory, or stored this very error.
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

// serveInstead serves a copy for an answer that did not come. An origin that has failed is left alone for a while: until then the copy
// stands in at once, and then one request asks again. status is what is told besides; header is that of the origin's answer, nil: there
// was none; asked is what was forwarded to it, nil: more than a fill says.
//
// Only who asked what a renewal of the copy asks has found out that the origin fails to give it anew: an origin may fail of what one client
// says that it accepts, or by which way its request came, and then everybody would get the old copy while all is well. After any other
// failure the copy is renewed, and what becomes of that counts.
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

// standsIn reports whether the copy may stand in for an error of the origin at this moment: it may have been purged since it was
// found.
func (rq *request) standsIn(found candidate, ledger *invalidation.Ledger) bool {
	if found.Copy == nil {
		return false
	}
	rq.judge(&found, ledger, time.Now())
	return found.use >= httpcache.StaleOnError
}
