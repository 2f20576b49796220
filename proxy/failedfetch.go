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

// sharesFailure reports whether the failure of another's fetch is one for this request too.
func (ex *exchange) sharesFailure(res *fill.Response, found candidate) bool {
	switch res.Reason {
	case policy.OriginError, policy.OriginTimeout, policy.Panic, policy.NoReason:
		return ex.standsIn(found, ex.p.ledger) || ex.asksSame(res, found)
	}
	return true // it came about before anything was sent
}

// asksSame reports whether this request asks what the fetch asked that brought res.
func (rq *request) asksSame(res *fill.Response, found candidate) bool {
	return fill.Question(string(rq.key), res.Forward) == rq.question(found)
}

// proved reports whether an answer that was fetched with what another forwards has not broken off before this request is sent any of it,
// and returns where this request reads it; nil: nowhere yet.
func (ex *exchange) proved(res *fill.Response, found candidate) (from *fill.Reader, ok bool) {
	if ex.asksSame(res, found) {
		return nil, true
	}
	if from, ok = res.Attach(); !ok {
		return nil, true // its beginning is gone, which is for accept to see
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

// failed reports whether a fetch brought no answer to the question, but a word of the moment's trouble.
func failed(res *fill.Response) bool {
	return res.Reason != policy.NoReason || res.Status >= http.StatusInternalServerError && !res.Verdict.Store
}

// elect has the request look for a leader again after a failure that is not its own. To wait for a timeout a third time would be too
// long.
func (rq *request) elect(res *fill.Response) {
	rq.byItself = rq.elected || res.Reason == policy.OriginTimeout
	rq.elected = true
}

// patience is how long a request of the route waits for the head of another's answer before it asks for itself. Who would wait for as long
// as the upstream may take waits for the end of the fetch, which is bounded: the two would run out at one time, and those whose timer came
// first would all ask an upstream that has just let the first one wait in vain.
func (r *route) patience() time.Duration {
	if timeout := r.Origin.Timeout(); timeout > 0 && r.WaitTimeout >= timeout {
		return math.MaxInt64
	}
	return r.WaitTimeout
}
