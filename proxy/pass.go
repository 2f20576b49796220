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

// passFor passes a request as it was decided. Where the last answer was not to be shared, the first that is ends that: the request
// after it is fetched for all.
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

// pass sends the request itself to the origin, untouched.
func (ex *exchange) pass(why policy.Reason) { ex.passAnswered(why, nil) }

// passAnswered is pass; answered gets the head of the answer, and may be nil.
func (ex *exchange) passAnswered(why policy.Reason, answered func(*http.Response) error) {
	status := policy.Status{Outcome: policy.Pass, Reason: why, Apart: ex.waited}
	if !httpcache.ForwardOnce(ex.r.Method, ex.r.Header) {
		ex.settle(status)
		ex.answerAsLast()
		return
	}
	ex.through(passage{status: &status, answered: answered})
}

// passUnless sends a read to the origin by itself, because it cannot wait for another's answer; the copy stands in where the
// origin fails. answered gets the head of the answer, and may say more in the status; it may be nil.
func (ex *exchange) passUnless(found candidate, status *policy.Status, answered func(*http.Response)) {
	status.Outcome = policy.Pass
	instead := policy.NoReason // why the copy is sent
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
			forward = nil // what it has failed on, a fill does not say
		}
		ex.serveInstead(found, instead, *status, failed, forward)
	}
}

// errSpared is the end of an answer in whose place a copy is sent.
var errSpared = errors.New("a copy stands in for the answer")

// passage is what one who sends a request through wants to know. Each may be nil.
type passage struct {
	// status is what is told about the answer; answered and unanswered may change it.
	status     *policy.Status
	sending    func()                     // is called when the request has its place and goes out
	answered   func(*http.Response) error // gets the head of the answer before the client sees any of it; its error goes to failed
	unanswered func(error)                // is called where there is none
	failed     func(error) bool           // reports whether the request is answered by other means
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
				ex.route.Learn(names) // from then on the field selects a variant
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
				ex.w.code = res.StatusCode // which goes out by the connection itself
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
