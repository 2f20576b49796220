package proxy

import (
	"net/http"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
)

// A shared fetch is made with what one request forwards, and that may be what it fails on: an upstream that hangs up on a long Accept
// fails for whoever sent it, and for nobody else. So a failure is shared by those who forward the very same, whom the upstream could
// not tell apart. Others elect a leader once more; where that one fails as well, those who forward the same fetch together. What one
// client sends then costs another two requests at most, and an upstream that is down is asked twice for all, and once more for each
// different set of fields that those who wait have.

// sharesFailure reports whether the failure of another's fetch is one for this request too.
func (ex *exchange) sharesFailure(res *fill.Response, found candidate) bool {
	switch res.Reason {
	case policy.OriginError, policy.OriginTimeout, policy.Panic, policy.NoReason:
		return ex.standsIn(found) || fill.Question(string(ex.key), res.Forward) == ex.question(found)
	}
	return true // it came about before anything was sent
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
