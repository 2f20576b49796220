package proxy

import (
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
)

// maxAttempts bounds how often a request looks again because the answer it waited for is not for it. After that it goes
// to the origin itself.
const maxAttempts = 4

// fetch gets an answer from the origin together with whoever asks for the same.
func (ex *exchange) fetch(c candidate) {
	for range maxAttempts {
		if ex.wantsPart(c) {
			break
		}
		if c.Shareless {
			if len(ex.ranges) > 0 { // a whole that is only for this request is more than it asks for
				ex.pass(policy.HitForMiss)
				return
			}
			if ex.route.Compression != policy.Identity {
				ex.pass(policy.HitForMiss) // what will not be held compressed is best had as the client and the origin agree on
				return
			}
			ex.status.Reason = policy.HitForMiss
			ex.alone(c)
			return
		}
		if c.apart {
			break
		}
		again, next := ex.together(c)
		if !again {
			return
		}
		c = next
		switch c.use {
		case policy.Fresh:
			ex.hit(c)
			return
		case policy.StaleServable:
			ex.stale(c.Copy, c.reason)
			return
		}
	}
	ex.alone(c)
}

// alone fetches for this request only; what comes may still be stored.
func (ex *exchange) alone(c candidate) {
	q := ex.request(c, upstream.Fill)
	q.Hints = true
	if ex.wantsPart(c) {
		q.Range, q.IfRange = ex.r.Header.Get("Range"), ex.r.Header.Get("If-Range")
	}
	t := ex.p.fills.Alone(ex.r.Context(), ex.flightKey(c), ex.known(), q)
	res, lead, reason := t.Await(ex.r.Context(), 0, ex.inform)
	if reason != policy.NoReason { // nobody but the client ends this wait
		t.Abandon()
		ex.gone()
	}
	if res.Again {
		if c = ex.lookup(string(ex.key), time.Now()); c.use == policy.Fresh {
			ex.hit(c)
			return
		}
		ex.pass(c.reason) // gone again in the meantime
		return
	}
	ex.accept(&res, c, policy.Miss, lead)
}

// together joins or leads the flight for this request's key. again says that the request has to look once more.
func (ex *exchange) together(c candidate) (again bool, next candidate) {
	var now candidate
	j := fill.Joiner{Key: ex.flightKey(c), Known: ex.known(), MaxWaiters: ex.route.MaxWaiters, Uninformed: ex.trust == uninformed}
	t := ex.p.fills.Join(j, func() *fill.Request {
		if now = ex.lookup(string(ex.key), time.Now()); now.use == policy.Fresh {
			return nil
		}
		q := ex.request(c, upstream.Fill)
		q.Hints = true
		return q
	})
	switch t.Role {
	case fill.AlreadyStored:
		return true, now
	case fill.Full:
		ex.status.Apart = true
		ex.passOr(policy.WaitersFull, c, nil)
		return false, candidate{}
	}
	res, lead, reason := t.Await(ex.r.Context(), ex.route.WaitTimeout, ex.inform)
	switch {
	case reason == policy.ClientGone:
		t.Abandon()
		ex.gone()
		return false, candidate{}
	case reason != policy.NoReason:
		ex.status.Apart = true
		ex.passOr(reason, c, nil)
		return false, candidate{}
	}
	if t.Role == fill.Joined {
		ex.span.Link(res.Span)
	}
	if res.Again {
		return true, ex.lookup(string(ex.key), time.Now())
	}
	if t.Role == fill.Leads {
		// A fill with fields that Vary selects but the fill did not forward is an answer to somebody else.
		if ex.selects(&res) || !res.Verdict.Share {
			ex.accept(&res, c, policy.Miss, lead)
			return false, candidate{}
		}
		lead.Detach()
	} else if ex.mayShare(&res) {
		ex.route.Metrics.Coalesced()
		ex.status.Collapsed = true
		if ex.accept(&res, c, policy.Collapsed, nil) {
			return false, candidate{}
		}
	}
	ex.status.Apart = t.Role == fill.Joined
	next = ex.lookup(string(ex.key), time.Now())
	// What is stored but has to be confirmed for each request is not marked shareless: it is a copy.
	next.apart = next.Copy != nil && res.Verdict.Store && !res.Verdict.Share
	return true, next
}

// mayShare reports whether an answer that was fetched for another request is one for this request too.
func (ex *exchange) mayShare(res *fill.Response) bool {
	if res.Reason != policy.NoReason {
		return true // an error is everybody's
	}
	if !res.Verdict.Share || !ex.selects(res) {
		return false
	}
	// Something was invalidated after the token, perhaps before this request came: then the answer is too old for it.
	return !res.Token.Before(ex.arrival) || !ex.p.ledger.Since(res.Token, res.Members)
}

// selects reports whether the request selects the same variant as the one that was fetched (RFC 9111 §4.1).
func (ex *exchange) selects(res *fill.Response) bool {
	vary := res.Verdict.Vary
	return res.Reason != policy.NoReason || len(vary) == 0 || policy.VaryMatch(vary, ex.selection(vary), res.Forward)
}

// selection is what the origin would see of the request, by which it selects among the variants that names tells apart:
// fields that no fill forwards select nothing.
func (ex *exchange) selection(names []string) http.Header {
	return ex.route.FillHeader(ex.r.Header, names)
}

// accept answers the request with what the flight brought, which it reads through from; nil: from a reader of its own. It
// reports false when the answer's beginning is gone already.
func (ex *exchange) accept(res *fill.Response, c candidate, outcome policy.Outcome, from *fill.Reader) bool {
	if from == nil {
		var ok bool
		if from, ok = res.Attach(); !ok {
			return false
		}
	}
	if from != nil {
		defer from.Detach()
	}
	ex.origin, ex.originID = min(res.Took, time.Since(ex.start)), res.ID
	if res.Reason != policy.NoReason || originFailed(res.Status) {
		if ex.serveStaleOnError(res, c) {
			return true
		}
	}
	if res.Reason != policy.NoReason {
		ex.fail(res.Reason, res.Err)
		return true
	}
	if reason := ex.notForThis(res); reason != policy.NoReason {
		from.Detach()
		ex.status.Collapsed = false
		ex.pass(reason)
		return true
	}
	ex.status.Outcome, ex.status.FwdStatus = outcome, res.Status
	if res.Completed {
		ex.status.FwdStatus = http.StatusPartialContent
	}
	if res.Confirmed != nil {
		ex.status.FwdStatus = http.StatusNotModified
		if outcome == policy.Miss {
			ex.status.Outcome = policy.Revalidated
		}
	}
	ex.status.Stored = res.Stored || (res.Confirmed == nil && res.Verdict.Store)
	if !res.Verdict.Store && res.Verdict.Reason != policy.OriginStatus { // which is what fwd-status says
		ex.status.Detail = res.Verdict.Reason.String()
	}
	ex.deliverFill(res, from)
	return true
}

// notForThis says why an answer that came whole is not the one to give to this request, which the origin then gets as it
// came: it does not meet a precondition, or is not kept and more than was asked for.
func (ex *exchange) notForThis(res *fill.Response) policy.Reason {
	switch {
	case isSuccess(res.Status) && !policy.MeetsPreconditions(ex.r.Header, res.Header):
		return policy.Precondition
	case len(ex.ranges) > 0 && res.Status == http.StatusOK && !res.Verdict.Store && res.Confirmed == nil && !res.Ranged:
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

// serveStaleOnError serves a stale copy in place of an error, where the copy allows it.
func (ex *exchange) serveStaleOnError(res *fill.Response, c candidate) bool {
	if c.Copy == nil {
		// The fill may have brought one up from a tier below memory, or stored this very error.
		if c = ex.lookup(string(ex.key), time.Now()); c.Copy != nil && policy.Passing(c.Copy.Status) {
			return false
		}
	}
	if !ex.spare(c) {
		return false
	}
	why := res.Reason
	if why == policy.NoReason {
		why = policy.OriginStatus
	}
	ex.status.FwdStatus = res.Status
	ex.stale(c.Copy, why)
	return true
}

// spare reports whether the copy may stand in for an error of the origin. It is asked when that has failed: the copy may
// have been purged meanwhile.
func (ex *exchange) spare(c candidate) bool {
	if c.Copy == nil {
		return false
	}
	use, _ := ex.judge(c.Copy, time.Now())
	return use >= policy.StaleOnError
}

// flightKey is the key under which this request is coalesced: one for each value of the fields that Vary is known to name.
func (ex *exchange) flightKey(c candidate) string {
	names := ex.selecting(c)
	if len(names) == 0 {
		return string(ex.key)
	}
	return string(policy.VariantKey(nil, string(ex.key), names, ex.selection(names)))
}

// selecting is the fields that Vary is known to name for this request.
func (ex *exchange) selecting(c candidate) []string {
	names := ex.route.Selecting()
	if c.Variants != nil {
		names = append(append([]string(nil), names...), c.Variants.Names()...)
	}
	return names
}
