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

// A shared fetch is made with what one request forwards, and that may be what it fails on: an upstream that hangs up on a long Accept
// fails for whoever sent it, and for nobody else. So a failure is shared by those who forward the very same, whom the upstream could
// not tell apart. Others elect a leader once more; where that one fails as well, those who forward the same fetch together. What one
// client sends then costs another two requests at most, and an upstream that is down is asked twice for all, and once more for each
// different set of fields that those who wait have.

// An answer that breaks off after its head is a failure too; see fill.BreaksOff.

// sharesFailure reports whether this request accepts the failure of a fetch that another request has led, instead of electing a leader anew.
func (ex *exchange) sharesFailure(res *fill.Response, found candidate) bool {
	switch res.Reason {
	case policy.OriginError, policy.OriginTimeout, policy.Panic, policy.NoReason:
		return ex.standsIn(found, ex.p.ledger) || ex.asksSame(res, found)
	}
	return true // the fetch failed before anything was sent: no request's fields are to blame
}

// asksSame reports whether this request would have asked the origin exactly what the fetch of res has asked it.
func (rq *request) asksSame(res *fill.Response, found candidate) bool {
	return fill.Question(string(rq.key), res.Forward) == rq.question(found)
}

// proved waits, if the answer was fetched with other fields than this request would forward, until it has proved itself (fill.Reader.Proves), and
// reports false if it broke off before. from is the reader that it has attached for this request; nil: none yet.
func (ex *exchange) proved(res *fill.Response, found candidate) (from *fill.Reader, ok bool) {
	if ex.asksSame(res, found) {
		return nil, true
	}
	if from, ok = res.Attach(); !ok {
		return nil, true // the beginning of the body is gone; accept meets that again, and handles it
	}
	if ok = from.Proves(ex.r.Context()); !ok {
		from.Detach()
	}
	return from, ok
}

// asksAsRenewal reports whether a fill that forwarded this header asked what a renewal of the copy asks, the trace apart.
func asksAsRenewal(r *policy.Route, forwarded http.Header, found candidate) bool {
	renewal := r.RenewalHeader(forwarded, found.Copy.Vary(), found.Copy.Asked())
	for name, lines := range forwarded {
		if !httpcache.IsTrace(name) && !slices.Equal(lines, renewal[name]) {
			return false
		}
	}
	return httpcache.Negotiation(renewal) == httpcache.Negotiation(forwarded)
}

// failed reports whether a fetch brought no answer about the resource, but an error or a server error (5xx) that is not stored.
func failed(res *fill.Response) bool {
	return res.Reason != policy.NoReason || res.Status >= http.StatusInternalServerError && !res.Verdict.Store
}

// elect notes that the request elects another leader after a failure of one that asked something else. After the second failure, or a timeout,
// it shares only with requests that forward the same: waiting for a timeout a third time would take too long.
func (rq *request) elect(res *fill.Response) {
	rq.byItself = rq.elected || res.Reason == policy.OriginTimeout
	rq.elected = true
}

// patience is how long a request of the route waits for the head of an answer that another request has led, before it asks by itself. A
// WaitTimeout that is no shorter than the upstream's timeout does not apply: the request waits for the end of the fetch, which the upstream's
// timeout bounds. Otherwise both would expire at about the same time, and every waiter whose timer came first would ask an upstream that has
// just failed to answer.
func (r *route) patience() time.Duration {
	if timeout := r.Origin.Timeout(); timeout > 0 && r.WaitTimeout >= timeout {
		return math.MaxInt64
	}
	return r.WaitTimeout
}
