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
			if ex.route.Compression != httpcache.Identity {
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
		case httpcache.Fresh:
			ex.hit(c)
			return
		case httpcache.StaleServable:
			ex.stale(c.Copy, c.reason)
			return
		}
	}
	ex.alone(c)
}

// alone fetches for this request only; what comes may still be stored.
func (ex *exchange) alone(c candidate) {
	hints := make(chan hint, maxHints)
	q := ex.request(c, upstream.Fill, ex.r.Context())
	q.hints = hints
	if ex.wantsPart(c) {
		q.ranges, q.ifRange = ex.r.Header.Get("Range"), ex.r.Header.Get("If-Range")
	}
	t := ex.p.solo(&flight{key: ex.flightKey(c), known: ex.known()}, q)
	res, reason := ex.await(t, hints)
	if reason != policy.NoReason { // nobody but the client ends this wait
		ex.p.abandon(t)
		ex.gone()
	}
	if res.again {
		if c = ex.lookup(string(ex.key), time.Now()); c.use == httpcache.Fresh {
			ex.hit(c)
			return
		}
		ex.pass(c.reason) // gone again in the meantime
		return
	}
	ex.accept(res, c, policy.Miss, res.lead)
}

// together joins or starts the flight for this request's key. again says that the request has to look once more.
func (ex *exchange) together(c candidate) (again bool, next candidate) {
	key := ex.flightKey(c)
	var now candidate
	var q *fetch
	hints := make(chan hint, maxHints)
	t := ex.p.flights.board(passenger{key: key, known: ex.known(), limit: ex.route.MaxWaiters, uninformed: ex.trust == uninformed},
		func() bool {
			if now = ex.lookup(string(ex.key), time.Now()); now.use == httpcache.Fresh {
				return true
			}
			q = ex.request(c, upstream.Fill, nil)
			q.hints = hints
			return false
		},
		func(f *flight) *fill { return ex.p.fill(f, q) })
	switch t.how {
	case landed:
		return true, now
	case full:
		ex.status.Apart = true
		ex.passOr(policy.WaitersFull, c, nil)
		return false, candidate{}
	}
	res, reason := ex.await(t, hints)
	switch {
	case reason == policy.ClientGone:
		ex.p.abandon(t)
		ex.gone()
		return false, candidate{}
	case reason != policy.NoReason:
		ex.status.Apart = true
		ex.passOr(reason, c, nil)
		return false, candidate{}
	}
	if t.how == joined {
		ex.span.Link(res.span)
	}
	if res.again {
		return true, ex.lookup(string(ex.key), time.Now())
	}
	if t.how == leads {
		// A fill with fields that Vary selects but the fill did not forward is an answer to somebody else.
		if ex.selects(res) || !res.verdict.Share {
			ex.accept(res, c, policy.Miss, res.lead)
			return false, candidate{}
		}
		res.lead.detach()
	} else if ex.mayShare(res) {
		ex.route.metrics.Coalesced()
		ex.status.Collapsed = true
		if ex.accept(res, c, policy.Collapsed, nil) {
			return false, candidate{}
		}
	}
	ex.status.Apart = t.how == joined
	next = ex.lookup(string(ex.key), time.Now())
	// What is stored but has to be confirmed for each request is not marked shareless: it is a copy.
	next.apart = next.Copy != nil && res.verdict.Store && !res.verdict.Share
	return true, next
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
func (ex *exchange) selects(res *fill) bool {
	vary := res.verdict.Vary
	return res.reason != policy.NoReason || len(vary) == 0 || httpcache.VaryMatch(vary, ex.selection(vary), res.forward)
}

// selection is what the origin would see of the request, by which it selects among the variants that names tells apart:
// fields that no fill forwards select nothing.
func (ex *exchange) selection(names []string) http.Header {
	return ex.route.FillHeader(ex.r.Header, names)
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

// accept answers the request with what the flight brought, which it reads through from; nil: from a reader of its own. It
// reports false when the answer's beginning is gone already.
func (ex *exchange) accept(res *fill, c candidate, outcome policy.Outcome, from *reader) bool {
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
		if ex.rescue(res, c) {
			return true
		}
	}
	if res.reason != policy.NoReason {
		ex.fail(res.reason, res.err)
		return true
	}
	if reason := ex.notForThis(res); reason != policy.NoReason {
		from.detach()
		ex.status.Collapsed = false
		ex.pass(reason)
		return true
	}
	ex.status.Outcome, ex.status.FwdStatus = outcome, res.status
	if res.rest {
		ex.status.FwdStatus = http.StatusPartialContent
	}
	if res.fresh != nil {
		ex.status.FwdStatus = http.StatusNotModified
		if outcome == policy.Miss {
			ex.status.Outcome = policy.Revalidated
		}
	}
	ex.status.Stored = res.stored || (res.fresh == nil && res.verdict.Store)
	if !res.verdict.Store && res.verdict.Reason != policy.OriginStatus { // which is what fwd-status says
		ex.status.Detail = res.verdict.Reason.String()
	}
	ex.deliverFill(res, from)
	return true
}

// notForThis says why an answer that came whole is not the one to give to this request, which the origin then gets as it
// came: it does not meet a precondition, or is not kept and more than was asked for.
func (ex *exchange) notForThis(res *fill) policy.Reason {
	switch {
	case isSuccess(res.status) && !httpcache.MeetsPreconditions(ex.r.Header, res.header):
		return policy.Precondition
	case len(ex.ranges) > 0 && res.status == http.StatusOK && !res.verdict.Store && res.fresh == nil && !res.ranged:
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

// rescue serves a stale copy in place of an error, where the copy allows it.
func (ex *exchange) rescue(res *fill, c candidate) bool {
	if c.Copy == nil {
		// The fill may have brought one up from a tier below memory, or stored this very error.
		if c = ex.lookup(string(ex.key), time.Now()); c.Copy != nil && httpcache.Passing(c.Copy.Status) {
			return false
		}
	}
	if !ex.spare(c) {
		return false
	}
	why := res.reason
	if why == policy.NoReason {
		why = policy.OriginStatus
	}
	ex.status.FwdStatus = res.status
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
	return use >= httpcache.StaleOnError
}

// flightKey is the key under which this request is coalesced: one for each value of the fields that Vary is known to name.
func (ex *exchange) flightKey(c candidate) string {
	names := ex.selecting(c)
	if len(names) == 0 {
		return string(ex.key)
	}
	return string(httpcache.VariantKey(nil, string(ex.key), names, ex.selection(names)))
}

// selecting is the fields that Vary is known to name for this request.
func (ex *exchange) selecting(c candidate) []string {
	names := ex.route.selecting()
	if c.Variants != nil {
		names = append(append([]string(nil), names...), c.Variants.Names()...)
	}
	return names
}
