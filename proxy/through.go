package proxy

import (
	"errors"
	"net/http"
	"os"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// pass sends the request itself to the origin, untouched.
func (ex *exchange) pass(why policy.Reason) {
	ex.status.Outcome, ex.status.Reason = policy.Pass, why
	if !policy.ForwardOnce(ex.r.Method, ex.r.Header) {
		ex.answerAsLast()
		return
	}
	ex.through(passage{})
}

// passOr sends a read to the origin by itself, because it cannot wait for another's answer; the copy stands in where the
// origin fails. seen gets the head of the answer; it may be nil.
func (ex *exchange) passOr(why policy.Reason, c candidate, seen func(*http.Response)) {
	ex.status.Outcome, ex.status.Reason = policy.Pass, why
	instead := policy.NoReason // why the copy is sent
	ex.through(passage{
		answered: func(res *http.Response) error {
			if originFailed(res.StatusCode) && ex.spare(c) {
				instead = policy.OriginStatus
				return errSpared
			}
			if seen != nil {
				seen(res)
			}
			return nil
		},
		failed: func(err error) bool {
			if reason := upstream.Classify(err); instead == policy.NoReason && reason != policy.ClientGone && ex.spare(c) {
				instead = reason
			}
			return instead != policy.NoReason
		},
	})
	if instead != policy.NoReason {
		ex.stale(c.Copy, instead)
	}
}

// errSpared is the end of an answer in whose place a copy is sent.
var errSpared = errors.New("a copy stands in for the answer")

// passage is what one who sends a request through wants to know. Each may be nil.
type passage struct {
	sending    func()                     // is called when the request has its place and goes out
	answered   func(*http.Response) error // gets the head of the answer before the client sees any of it; its error goes to failed
	unanswered func(error)                // is called where there is none
	failed     func(error) bool           // reports whether the request is answered by other means
}

// through sends the request to the origin.
func (ex *exchange) through(o passage) {
	start := time.Now()
	why := ex.status.Reason
	arrived := false
	ex.p.passer.serve(&ex.w, ex.r, passOptions{
		origin: ex.route.Origin, place: upstream.Place{Route: ex.route.Name}, target: ex.target, trusted: ex.trusted(),
		sending: func(req *http.Request) func(*http.Response, error) {
			req.Header[requestIDField] = []string{ex.id()}
			if o.sending != nil {
				o.sending()
			}
			return ex.route.Sending(why, ex.span, req)
		},
		onResponse: func(res *http.Response) error {
			arrived, ex.origin = true, time.Since(start)
			if why == policy.HeaderUnlisted {
				names, _ := policy.ParseVary(res.Header["Vary"])
				ex.route.Learn(names) // from then on the field selects a variant
			}
			ex.status.FwdStatus = res.StatusCode
			if o.answered != nil {
				if err := o.answered(res); err != nil {
					return err
				}
			}
			res.Header.Del("Surrogate-Key")
			res.Header.Del("Xkey")
			ex.addCacheStatus(res.Header)
			return nil
		},
		onError: func(w http.ResponseWriter, err error) {
			if !arrived {
				ex.origin = time.Since(start)
				if o.unanswered != nil {
					o.unanswered(err)
				}
			}
			if o.failed == nil || !o.failed(err) {
				ex.passFailed(w, err)
			}
		},
	})
}

// passFailed answers for an origin that gave no answer to a request that went through.
func (ex *exchange) passFailed(w http.ResponseWriter, err error) {
	ex.status.Outcome, ex.status.Reason = policy.Failed, upstream.Classify(err)
	switch ex.status.Reason {
	case policy.ClientGone:
		if server.Late(ex.r.Context()) {
			// net/http ends the request, as if the client had left, before it reports that the body did not come.
			err = &upstream.RequestBodyError{Err: os.ErrDeadlineExceeded}
			ex.status.Reason = policy.RequestBody
			break
		}
		ex.w.code = statusGone
	case policy.QueueFull, policy.QueueTimeout:
		ex.status.Outcome = policy.Shed
	}
	if ex.status.Reason != policy.ClientGone && ex.status.Reason != policy.RequestBody {
		ex.unanswered(err)
	}
	ex.addCacheStatus(w.Header())
	answerError(w, ex.route.Origin, err)
}
