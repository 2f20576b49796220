package proxy

import (
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/origin"
)

// pass sends the request itself to the origin, untouched.
func (ex *exchange) pass(why policy.Reason) {
	ex.status.Outcome, ex.status.Reason = policy.Pass, why
	ex.through(func(*http.Response) error { return nil }, func() {})
}

// headMiss sends a HEAD that no copy answers through, and lets go of a copy of something else.
func (ex *exchange) headMiss(c candidate) {
	ex.status.Outcome, ex.status.Reason = policy.Pass, policy.HeadMiss
	ex.through(func(res *http.Response) error {
		if c.Copy != nil && isSuccess(c.Copy.Status) && res.StatusCode == http.StatusOK && policy.HeadContradicts(c.Copy.Header(), res.Header) {
			ex.p.store.Drop(c.Key, c.Copy)
		}
		return nil
	}, func() {})
}

// through sends the request to the origin; answered gets the head of the answer before the client sees any of it, unknown
// is called when there is none.
func (ex *exchange) through(answered func(*http.Response) error, unknown func()) {
	start := time.Now()
	why := ex.status.Reason
	arrived := false
	ex.p.passer.serve(&ex.w, ex.r, passOptions{
		origin: ex.route.origin, class: origin.Write, target: ex.target, trusted: ex.trusted(),
		sending: func(req *http.Request) func(*http.Response, error) {
			req.Header[requestIDField] = []string{ex.id()}
			return ex.p.ask(ex.route, why, ex.span, req)
		},
		onResponse: func(res *http.Response) error {
			arrived, ex.origin = true, time.Since(start)
			ex.status.FwdStatus = res.StatusCode
			if err := answered(res); err != nil {
				return err
			}
			res.Header.Del("Surrogate-Key")
			res.Header.Del("Xkey")
			ex.addCacheStatus(res.Header)
			return nil
		},
		onError: func(w http.ResponseWriter, err error) {
			if !arrived {
				ex.origin = time.Since(start)
				unknown()
			}
			ex.passFailed(w, err)
		},
	})
}

// passFailed answers for an origin that gave no answer to a request that went through.
func (ex *exchange) passFailed(w http.ResponseWriter, err error) {
	ex.status.Outcome, ex.status.Reason = policy.Failed, origin.Classify(err)
	switch ex.status.Reason {
	case policy.ClientGone:
		ex.w.code = statusGone
	case policy.QueueFull, policy.QueueTimeout:
		ex.status.Outcome = policy.Shed
	}
	if ex.status.Reason != policy.ClientGone {
		ex.p.logger.Warn("no answer from upstream", "route", ex.route.Name, "upstream", ex.route.Upstream,
			"reason", ex.status.Reason.String(), "request_id", ex.id(), "error", err)
	}
	ex.addCacheStatus(w.Header())
	answerError(w, err)
}
