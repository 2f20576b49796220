package proxy

import (
	"errors"
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/pass"
	"cacheproxy/proxy/upstream"
)

// passFor passes a request as decided. One reason to pass is a mark that the last answer could not be shared
// (hit-for-miss). If the new answer could be shared, passFor removes the mark, so that the next request is fetched for
// all.
func (ex *exchange) passFor(d *decision) {
	if d.reason == policy.HeaderUnlisted && ex.mode == policy.Observe {
		ex.passUnlisted(d)
		return
	}
	if d.reason != policy.HitForMiss || d.found.lasting {
		ex.pass(d.reason)
		return
	}
	requested, question := time.Now(), ex.question(d.found)
	ex.passAnswered(d.reason, func(res *http.Response) error {
		verdict := ex.route.Judge(policy.Fetch{
			Method: ex.semantics(), Requested: requested, Received: time.Now(), Status: res.StatusCode, Header: res.Header,
			BodyLength: res.ContentLength, MaxObject: ex.cfg.MaxObject, Through: true,
		})
		if verdict.Store {
			ex.p.fills.EndShareless(question)
		}
		return nil
	})
}

// pass sends the request itself to the origin.
func (ex *exchange) pass(why policy.Reason) { ex.passAnswered(why, nil) }

// passAnswered is pass, and also calls answered, unless answered is nil, with the head of the origin's answer.
func (ex *exchange) passAnswered(why policy.Reason, answered func(*http.Response) error) {
	status := policy.Status{Outcome: policy.Pass, Reason: why, Apart: ex.waited}
	if !httpcache.ForwardOnce(ex.r.Method, ex.r.Header) {
		ex.settle(status)
		ex.answerAsLast()
		return
	}
	ex.through(passage{status: &status, answered: answered})
}

// passUnless passes a read that cannot wait for a shared answer. If the origin fails and the copy of found may stand
// in, passUnless serves the copy. answered, unless nil, gets the head of an answer that is not replaced by the copy,
// and may change status.
func (ex *exchange) passUnless(found candidate, status *policy.Status, answered func(*http.Response)) {
	status.Outcome = policy.Pass
	instead := policy.NoReason // why the copy is sent; NoReason: the origin's answer is
	var failed http.Header
	ex.through(passage{
		status: status,
		answered: func(res *http.Response) error {
			if originFailed(res.StatusCode) && ex.standsIn(found, ex.p.ledger) {
				instead, failed = policy.OriginStatus, res.Header
				return errSpared
			}
			ex.probed()
			if answered != nil {
				answered(res)
			}
			return nil
		},
		failed: func(err error) bool {
			if reason := upstream.Classify(err); instead == policy.NoReason && reason != policy.ClientGone && ex.standsIn(found, ex.p.ledger) {
				instead = reason
			}
			return instead != policy.NoReason
		},
	})
	if instead != policy.NoReason {
		asked := ex.asks(found)
		forward := asked.forward
		if !ex.route.AsksAsFill(ex.r.Header, asked.names) {
			forward = nil // the origin may have failed because of fields that no fill sends
		}
		ex.serveInstead(found, instead, *status, failed, forward)
	}
}

// errSpared ends the handling of an origin's answer because a copy is sent in place of the answer.
var errSpared = errors.New("a copy stands in for the answer")

// passage has the hooks of one request that is sent to the origin directly. Each func may be nil. The funcs run on the
// goroutine of the request.
type passage struct {
	// status is the Status of the answer; answered and unanswered may change it. Required.
	status     *policy.Status
	sending    func()                     // called when the request has its place and is about to be sent
	answered   func(*http.Response) error // called before the answer's head goes to the client; errors go to failed
	unanswered func(error)                // called if the origin gives no answer
	failed     func(error) bool           // called with any error; reports whether failed answers the request
}

// through sends the request to the origin.
func (ex *exchange) through(o passage) {
	start := time.Now()
	status, why := o.status, o.status.Reason
	arrived := false
	place := upstream.Place{Class: upstream.Write, Route: ex.route.Name, Client: ex.asker(), Silent: ex.gathered.late, Passing: ex.letBy()}
	if ex.unlisted {
		place.Class = upstream.Unlisted
	}
	ex.p.passer.Serve(&ex.w, ex.r, pass.Options{
		Upstream: ex.route.Origin, Place: place, Target: ex.target, Trusted: ex.trusted, Trailer: ex.match.Route.StripTrailer,
		Sending: func(req *http.Request) func(*http.Response, error) {
			req.Header[requestIDField] = []string{ex.id()}
			if o.sending != nil {
				o.sending()
			}
			return ex.route.Sending(why, ex.span, req)
		},
		OnResponse: func(res *http.Response) error {
			arrived, ex.origin, ex.address = true, time.Since(start), upstream.Peer(res)
			if why == policy.HeaderUnlisted {
				names, _ := httpcache.ParseVary(res.Header["Vary"])
				ex.route.Learn(names) // a field that Vary names selects a variant, and is not unlisted any more
			}
			status.FwdStatus = res.StatusCode
			if o.answered != nil {
				if err := o.answered(res); err != nil {
					return err
				}
			}
			res.Header.Del("Surrogate-Key")
			res.Header.Del("Xkey")
			ex.route.StripTags(res.Header)
			ex.edit(res.Header, false)
			ex.settle(*status)
			ex.addCacheStatus(res.Header)
			if res.StatusCode == http.StatusSwitchingProtocols {
				ex.w.code = res.StatusCode // the recorder misses a 101, which is written to the hijacked connection
			}
			return nil
		},
		OnError: func(w http.ResponseWriter, err error) {
			if !arrived {
				ex.origin = time.Since(start)
				if o.unanswered != nil {
					o.unanswered(err)
				}
			}
			if o.failed == nil || !o.failed(err) {
				ex.passFailed(w, *status, err)
			}
		},
	})
}
