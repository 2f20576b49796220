package proxy

import (
	"math"
	"net/http"
	"slices"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
)

// A shared fetch forwards the fields of one request, the leader, and these fields may be the cause of a failure. An
// upstream that hangs up on a long Accept fails for the leader, and for nobody else. So requests that forward exactly
// the same fields share a failure: the upstream could not tell these requests apart. Other requests elect a leader once
// more. If the second fetch fails as well, requests that forward the same fields share a third fetch. The fields of one
// client then cost another client two requests at most. An upstream that is down is asked twice for all, and once more
// for each different set of fields among the waiting requests.

// An answer that breaks off after the head is a failure too; see fill.BreaksOff.

// sharesFailure reports whether this request accepts the failure of a fetch that another request has led. Otherwise
// this request elects a leader anew.
func (ex *exchange) sharesFailure(res *fill.Response, found candidate) bool {
	switch res.Reason {
	case policy.OriginError, policy.OriginTimeout, policy.Panic, policy.NoReason:
		return ex.standsIn(found, ex.p.ledger) || ex.asksSame(res, found)
	}
	return true // the fetch failed before anything was sent: no request's fields are to blame
}

// asksSame reports whether a fetch for this request would have asked the origin exactly the same as the fetch of res.
func (rq *request) asksSame(res *fill.Response, found candidate) bool {
	return fill.Question(string(rq.key), res.Forward) == rq.question(found)
}

// proved waits until the answer has proved itself (fill.Reader.Proves), if the fetch forwarded other fields than this
// request would forward. proved reports false if the answer broke off before. from is the reader that proved has
// attached for this request; nil: none yet.
func (ex *exchange) proved(res *fill.Response, found candidate) (from *fill.Reader, ok bool) {
	if ex.asksSame(res, found) {
		return nil, true
	}
	if from, ok = res.Attach(); !ok {
		return nil, true // the beginning of the body is gone: accept finds the same, and has the request decided again
	}
	if ok = from.Proves(ex.r.Context()); !ok {
		from.Detach()
	}
	return from, ok
}

// asksAsRenewal reports whether a fill that forwarded this header asked the same as a renewal of the copy asks, apart
// from the trace.
func asksAsRenewal(r *policy.Route, forwarded http.Header, found candidate) bool {
	renewal := r.RenewalHeader(forwarded, found.Copy.Vary(), found.Copy.Asked())
	for name, lines := range forwarded {
		if !httpcache.IsTrace(name) && !slices.Equal(lines, renewal[name]) {
			return false
		}
	}
	return httpcache.Negotiation(renewal) == httpcache.Negotiation(forwarded)
}

// failed reports whether a fetch brought no answer about the resource: an error, or a server error (5xx) that is not
// stored.
func failed(res *fill.Response) bool {
	return res.Reason != policy.NoReason || res.Status >= http.StatusInternalServerError && !res.Verdict.Store
}

// elect notes that the request elects another leader after the failure of a leader that asked something else. After the
// second failure, or after a timeout, the request shares fetches only with requests that forward the same: a third wait
// for a timeout would take too long.
func (rq *request) elect(res *fill.Response) {
	rq.byItself = rq.elected || res.Reason == policy.OriginTimeout
	rq.elected = true
}

// patience returns for how long a request of the route waits for the head of an answer whose fetch another request
// leads. After that time the request is passed to the origin by itself.
//
// A WaitTimeout that is no shorter than the upstream's timeout does not apply: the request waits for the end of the
// fetch, which the upstream's timeout bounds. Otherwise both would expire at about the same time, and every waiter
// whose timer came first would ask an upstream that has just failed to answer.
func (r *route) patience() time.Duration {
	if timeout := r.Origin.Timeout(); timeout > 0 && r.WaitTimeout >= timeout {
		return math.MaxInt64
	}
	return r.WaitTimeout
}
