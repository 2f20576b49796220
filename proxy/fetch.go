package proxy

import (
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
)

// maxAttempts bounds how often a request looks again because the answer it waited for is not for it. After that it goes
// to the origin itself.
const maxAttempts = 4

// alone fetches for this request only; what comes may still be stored.
func (ex *exchange) alone(d *decision) {
	hints := make(chan hint, maxHints)
	q := ex.request.fetch(d.found, upstream.Fill, ex.r.Context())
	q.hints, q.asker = hints, ex.span
	if d.part {
		q.ranges, q.ifRange = ex.r.Header.Get("Range"), ex.r.Header.Get("If-Range")
	}
	t := ex.p.solo(&flight{key: ex.flightKey(d.found), known: ex.known()}, q)
	res, reason := ex.await(t, hints)
	if reason != policy.NoReason { // nobody but the client ends this wait
		ex.p.abandon(t)
		ex.gone()
	}
	if res.again {
		now := time.Now()
		c := ex.p.lookUp(&ex.request, now)
		if c.use == httpcache.Fresh {
			next := ex.fromCopy(c, policy.Hit, policy.NoReason, now)
			ex.execute(&next)
			return
		}
		ex.pass(c.reason) // gone again in the meantime
		return
	}
	ex.accept(res, d, d.status(ex.start), res.lead)
}

// together joins or starts the flight for this request's key. It reports false where the request has to be decided once more.
func (ex *exchange) together(d *decision) (answered bool) {
	status := d.status(ex.start)
	key := ex.flightKey(d.found)
	var q *fetch
	hints := make(chan hint, maxHints)
	t := ex.p.flights.board(passenger{key: key, known: ex.known(), limit: ex.route.MaxWaiters, uninformed: ex.lease == leaseLost},
		func() bool {
			now := ex.p.lookUp(&ex.request, time.Now())
			if now.use == httpcache.Fresh {
				return true
			}
			q = ex.request.fetch(now, upstream.Fill, nil)
			q.hints, q.asker = hints, ex.span
			return false
		},
		func(f *flight) *fill { return ex.p.fill(f, q) })
	switch t.how {
	case landed:
		return false
	case full:
		ex.passUnless(d.found, &policy.Status{Reason: policy.WaitersFull, Apart: true}, nil)
		return true
	}
	res, reason := ex.await(t, hints)
	switch {
	case reason == policy.ClientGone:
		ex.p.abandon(t)
		ex.gone()
	case reason != policy.NoReason:
		ex.passUnless(d.found, &policy.Status{Reason: reason, Apart: true}, nil)
		return true
	}
	if t.how == joined {
		ex.span.Link(res.span)
	}
	switch {
	case res.again:
		return false
	case t.how == leads:
		// A fill with fields that Vary selects but the fill did not forward is an answer to somebody else.
		if ex.selects(res) || !res.verdict.Share {
			ex.accept(res, d, status, res.lead)
			return true
		}
		res.lead.detach()
	case ex.mayShare(res):
		ex.route.metrics.Coalesced()
		status.Outcome, status.Collapsed = policy.Collapsed, true
		if ex.accept(res, d, status, nil) {
			return true
		}
	}
	ex.waited = t.how == joined
	// What is stored but has to be confirmed for each request is not marked shareless: it is a copy.
	ex.apart = res.verdict.Store && !res.verdict.Share
	return false
}

// await waits for the header of the flight's answer, as long as the client and the route allow, and passes on what the
// origin says before it.
func (ex *exchange) await(t ticket, hints <-chan hint) (*fill, policy.Reason) {
	if t.fill != nil {
		return t.fill, policy.NoReason
	}
	var timeout <-chan time.Time
	if t.how == joined {
		defer ex.p.flights.leave(t.flight)
		timer := time.NewTimer(ex.route.WaitTimeout)
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		select {
		case h := <-hints:
			ex.inform(h)
		case r := <-t.result:
			ex.informAll(hints)
			return answerOf(r), policy.NoReason
		case <-ex.r.Context().Done():
			return nil, policy.ClientGone
		case <-timeout:
			return nil, policy.WaitTimeout
		}
	}
}

// mayShare reports whether an answer that was fetched for another request is one for this request too.
func (ex *exchange) mayShare(res *fill) bool {
	if res.reason != policy.NoReason {
		return true // an error is everybody's
	}
	if !res.verdict.Share || !ex.selects(res) {
		return false
	}
	// Something was invalidated after the token, perhaps before this request came: then the answer is too old for it.
	return !res.token.Before(ex.arrival) || !ex.p.ledger.Since(res.token, res.ids)
}

// selects reports whether the request selects the same variant as the one that was fetched (RFC 9111 §4.1).
func (rq *request) selects(res *fill) bool {
	vary := res.verdict.Vary
	return res.reason != policy.NoReason || len(vary) == 0 || httpcache.VaryMatch(vary, rq.selection(vary), res.forward)
}

// abandon gives up the place of a request that left. The answer to one that nobody shares ends with it.
func (p *Proxy) abandon(t ticket) {
	if t.how != leads {
		return
	}
	p.tasks.Go(func() {
		if res := answerOf(<-t.result); res.lead != nil {
			res.lead.detach()
		}
	})
}

// accept answers the request with what a fetch brought, which it reads through from; nil: from a reader of its own. It
// reports false when the answer's beginning is gone already.
func (ex *exchange) accept(res *fill, d *decision, status policy.Status, from *reader) bool {
	if res.body != nil && from == nil {
		var ok bool
		if from, ok = res.body.attach(); !ok {
			return false
		}
	}
	if from != nil {
		defer from.detach()
	}
	ex.origin, ex.originID = min(res.took, time.Since(ex.start)), res.id
	if res.reason != policy.NoReason || originFailed(res.status) {
		if ex.serveOnError(res, d.found, status) {
			return true
		}
	}
	if res.reason != policy.NoReason {
		ex.fail(status, res.reason, res.err)
		return true
	}
	if reason := ex.notForThis(res); reason != policy.NoReason {
		from.detach()
		ex.pass(reason)
		return true
	}
	shown, why, err := ex.stretchOf(ex.r.Context(), res, from)
	switch why {
	case policy.NoReason:
	case policy.ClientGone:
		ex.gone()
	case policy.RangeRequest:
		from.detach()
		ex.pass(why)
		return true
	default:
		ex.fail(status, why, err)
		return true
	}
	ex.settle(fetched(res, status))
	if err := ex.deliverFill(res, from, shown); err != nil {
		ex.unpackFailed(err)
	}
	return true
}

// fetched is what is told about an answer that a fetch has brought; status is what was known before.
func fetched(res *fill, status policy.Status) policy.Status {
	status.FwdStatus = res.status
	if res.rest {
		status.FwdStatus = http.StatusPartialContent
	}
	if res.fresh != nil {
		status.FwdStatus = http.StatusNotModified
		if status.Outcome == policy.Miss {
			status.Outcome = policy.Revalidated
		}
	}
	status.Stored = res.stored || (res.fresh == nil && res.verdict.Store)
	if !res.verdict.Store && res.verdict.Reason != policy.OriginStatus { // which is what fwd-status says
		status.Detail = res.verdict.Reason.String()
	}
	return status
}

// notForThis says why an answer that came whole is not the one to give to this request, which the origin then gets as it
// came: it does not meet a precondition, or is not kept and more than was asked for.
func (rq *request) notForThis(res *fill) policy.Reason {
	switch {
	case isSuccess(res.status) && !httpcache.MeetsPreconditions(rq.r.Header, res.header):
		return policy.Precondition
	case len(rq.ranges) > 0 && res.status == http.StatusOK && !res.verdict.Store && res.fresh == nil && !res.ranged:
		return policy.RangeRequest
	}
	return policy.NoReason
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

// originFailed reports whether a status counts as an error for stale-if-error (RFC 5861 §4).
func originFailed(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// serveOnError serves a stale copy in place of an error, where the copy allows it.
func (ex *exchange) serveOnError(res *fill, found candidate, status policy.Status) bool {
	if found.Copy == nil {
		// The fill may have brought one up from a tier below memory, or stored this very error.
		if found = ex.p.lookUp(&ex.request, time.Now()); found.Copy != nil && httpcache.Passing(found.Copy.Status) {
			return false
		}
	}
	if !ex.standsIn(found) {
		return false
	}
	why := res.reason
	if why == policy.NoReason {
		why = policy.OriginStatus
	}
	status.FwdStatus = res.status
	ex.serveInstead(found, why, status)
	return true
}

// serveInstead serves a copy for an origin that has failed. status is what is told besides.
func (ex *exchange) serveInstead(found candidate, why policy.Reason, status policy.Status) {
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
func (ex *exchange) standsIn(found candidate) bool {
	if found.Copy == nil {
		return false
	}
	ex.judge(&found, ex.p.ledger, time.Now())
	return found.use >= httpcache.StaleOnError
}
