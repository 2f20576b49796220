package proxy

import (
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// step says how execute answers a request.
type step uint8

const (
	passOn      step = iota // the request itself goes to the origin
	passWrite               // as passOn, and the copies that the write changes are invalidated
	compare                 // as passOn, and the answer of the origin is compared with the copy
	passHead                // a HEAD goes to the origin, whose answer renews the copy or makes the copy stale
	serveCopy               // the copy answers
	serveParts              // stored parts of a response answer
	fetchShared             // the answer is fetched once for all requests that ask the same
	fetchAlone              // the answer is fetched for this request only, and may still be stored
	refuseIt                // the proxy answers with an error of its own
	queueWrite              // the write is accepted, and sent to the origin from the queue
	showWrite               // the state of a queued write is shown
	serveBoard              // a submission is recorded, or a board is read
)

// decision says how a request is to be answered. A decision is a value, and making a decision has no effects beyond the
// request: execute carries the decision out, and Explain prints the decision.
type decision struct {
	step    step
	outcome policy.Outcome
	reason  policy.Reason
	detail  string // in Cache-Status instead of the reason's word; empty: the reason's word
	found   candidate
	apart   bool   // the request has waited for another request's fetch, whose answer was not for it
	note    string // for Explain: why the copy of another request answers; empty: the copy is this request's own

	renews  bool           // the copy is to be renewed in the background
	class   upstream.Class // of the renewal
	part    bool           // a fetch asks for the part that the client wants, not for the whole
	parts   partsAnswer    // for serveParts
	refusal refusal
}

// status is the Status of the answer as far as the decision determines the Status, before the origin has answered.
func (d *decision) status(now time.Time) policy.Status {
	s := policy.Status{Outcome: d.outcome, Reason: d.reason, Detail: d.detail, Apart: d.apart}
	if copied := d.served(); copied != nil {
		s.TTL, s.HasTTL = copied.Life().Left(now), true
	}
	return s
}

// served is the copy that answers; nil: none.
func (d *decision) served() *store.Copy {
	switch d.step {
	case serveCopy:
		return d.found.Copy
	case serveParts:
		return d.parts.of.Of
	}
	return nil
}

// decide makes the decision about a request at the time now. The decision depends on the plan of the request, on the
// configuration, and on the copies, invalidations and reachability at that time. decide changes nothing but the
// references that the request holds. ServeHTTP calls decide again for a request that has waited for a shared fetch
// whose answer was not for this request.
func (p *Proxy) decide(rq *request, now time.Time) decision {
	d := p.choose(rq, now)
	d.apart = rq.waited
	if rq.attempts > 0 && d.outcome == policy.Miss && d.reason == d.found.reason {
		d.reason = rq.missed
	}
	return d
}

// choose is decide without regard to earlier attempts of the request.
func (p *Proxy) choose(rq *request, now time.Time) decision {
	d, decided := p.unfetched(rq, now)
	if !decided {
		return p.missing(rq, d.found, now)
	}
	return d
}

// unfetched makes the decision about a request that can be answered without a shareable fetch. If such a fetch is
// needed, decided is false, and only the field found of d is set.
func (p *Proxy) unfetched(rq *request, now time.Time) (d decision, decided bool) {
	switch {
	case p.behind.shows(rq):
		return decision{step: showWrite, outcome: policy.Queued, detail: "status"}, true
	case boarded(rq):
		return decision{step: serveBoard, outcome: policy.Board, detail: "board"}, true
	case queueable(rq):
		return decision{step: queueWrite, outcome: policy.Queued, detail: "accepted"}, true
	case rq.action == policy.PassAction:
		return passing(rq.reason), true
	case rq.action == policy.WriteAction:
		return decision{step: passWrite, outcome: policy.Write, reason: rq.reason}, true
	}
	found := p.find(rq, now)
	switch {
	case rq.mode == policy.Observe:
		return comparing(found), true
	case found.use == httpcache.Fresh:
		return rq.fromCopy(found, policy.Hit, policy.NoReason, now), true
	case rq.personal:
		return p.withCredentials(rq, found, now), true
	case found.use == httpcache.StaleServable, found.use == httpcache.StaleOnError && found.Copy.Use.Failing(now) && !onlyIfCached(rq.r.Header):
		return rq.fromCopy(found, policy.Stale, found.reason, now), true
	}
	if rq.directives == (httpcache.RequestDirectives{}) {
		if other, note := p.alike(rq, now); note != "" {
			d := rq.fromCopy(other, policy.Hit, policy.NoReason, now)
			d.note = note
			return d, true
		}
	}
	return decision{found: found}, false
}

func passing(why policy.Reason) decision {
	return decision{step: passOn, outcome: policy.Pass, reason: why}
}

// comparing is the decision that the origin answers, and that the answer is compared with the candidate.
func comparing(found candidate) decision {
	d := decision{step: compare, outcome: policy.WouldMiss, reason: found.reason, found: found}
	if found.use >= httpcache.StaleServable {
		// Cache-Status goes out with the head, before the last byte has been compared.
		d.outcome, d.reason = policy.Pass, policy.Observed
	}
	return d
}

// fromCopy is the decision to answer with a copy. If the copy does not meet the If-Match or If-Unmodified-Since of the
// request, the request is passed instead: the representation of the origin may meet the condition.
func (rq *request) fromCopy(found candidate, outcome policy.Outcome, why policy.Reason, now time.Time) decision {
	c := found.Copy
	if httpcache.ForOrigin(rq.r.Header) && isSuccess(c.Status()) && !httpcache.MeetsPreconditions(rq.r.Header, c.Header()) {
		return passing(policy.Precondition)
	}
	d := decision{step: serveCopy, outcome: outcome, reason: why, found: found, detail: rq.lease.detail()}
	switch {
	case found.use == httpcache.StaleServable:
		d.renews, d.class = true, upstream.Fill
	case found.use == httpcache.Fresh && !found.other && !rq.personal && rq.ahead(c, now):
		d.renews, d.class = true, upstream.Refresh
	}
	return d
}

// ahead reports whether a fresh copy is worth renewing before its expiry, counting this request as a read.
func (rq *request) ahead(c *store.Copy, now time.Time) bool {
	return rq.route.RenewsAhead && int(c.Use.Hits.Load())+1 >= rq.route.MinHits && rq.route.due(c, now)
}

// withCredentials is the decision about a read with Authorization that no copy may answer (RFC 9111 §3.5): the origin
// is asked for this request alone. This request does not wait for others, and others do not wait for this request,
// since only the answer says whether the answer may be shared.
func (p *Proxy) withCredentials(rq *request, found candidate, now time.Time) decision {
	alone := rq.r.Method == http.MethodGet && len(rq.ranges) == 0 && !rq.directives.NoStore && rq.route.ForwardHeaders == policy.ForwardAll
	switch {
	case onlyIfCached(rq.r.Header):
		return refusing(uncached)
	case !alone:
		return passing(policy.Authorization)
	case p.fills.RefusesRead(rq.route.Route, now):
		return refusing(storeDown)
	}
	d := fetching(fetchAlone, found)
	if found.Copy == nil { // else the reason is why the copy may not answer
		d.reason = policy.Authorization
	}
	return d
}

// missing is the decision about a read that no whole copy answers.
func (p *Proxy) missing(rq *request, found candidate, now time.Time) decision {
	if rq.r.Method == http.MethodGet && found.Copy == nil && rq.lease != leaseLost {
		answer, usable := p.fromParts(rq, found, now)
		if answer.of != nil {
			return decision{step: serveParts, outcome: policy.Hit, parts: answer, detail: rq.lease.detail()}
		}
		if usable {
			found.reason = policy.PartMiss
		}
	}
	switch {
	case onlyIfCached(rq.r.Header):
		return refusing(uncached)
	case p.fills.RefusesRead(rq.route.Route, now):
		if found.Copy != nil && found.use >= httpcache.StaleOnError {
			return rq.fromCopy(found, policy.Stale, policy.StoreUnavailable, now)
		}
		return refusing(storeDown)
	case rq.r.Method == http.MethodHead:
		return decision{step: passHead, outcome: policy.Pass, reason: policy.HeadMiss, found: found}
	}
	if p.store.Marks() {
		rq.byItself = rq.byItself || p.fills.BreaksOff(keyText(rq), now)
		found.shareless, found.lasting = p.fills.Shareless(rq.question(found), now)
	}
	return rq.chooseFetch(found)
}

// chooseFetch decides how an answer is fetched: shared with other requests, or for this request alone if sharing is
// known to be impossible or has failed too often. A request that a fetch would not serve is passed instead.
func (rq *request) chooseFetch(found candidate) decision {
	d := fetching(fetchAlone, found)
	d.part = rq.wantsPart(found)
	switch {
	case d.part, rq.apart && found.Copy != nil, rq.unshared > 1, rq.attempts >= maxAttempts:
		return d
	case found.shareless == policy.NoReason:
		d.step = fetchShared
		return d
	case len(rq.ranges) > 0, // a fill would fetch the whole, for this request only
		rq.route.Compression != httpcache.Identity: // a fill asks for identity, only to hold the copy compressed
		d = passing(policy.HitForMiss)
		d.found = found
		return d
	}
	d.reason = policy.HitForMiss
	return d
}

// fetching is the decision to fetch, with the step given. The outcome is a miss, for the reason of the candidate.
func fetching(how step, found candidate) decision {
	return decision{step: how, outcome: policy.Miss, reason: found.reason, found: found}
}

// wantsPart reports whether this request asks the origin for a part instead of the whole. For that, there must be no
// copy that a fetch could confirm, and no known reason why the answer could not be stored, except that the whole is too
// large.
func (rq *request) wantsPart(found candidate) bool {
	return len(rq.ranges) > 0 && rq.route.Range == policy.RangePart && found.Copy == nil &&
		(found.shareless == policy.NoReason || found.shareless == policy.TooLarge)
}

// due reports whether a copy is old enough to be renewed ahead of its expiry. Copies that were stored together must not
// become due together. So the digest and the time of receipt give each copy a point of its own, in the first half of
// the lifetime that is left after refresh_at.
func (r *route) due(c *store.Copy, now time.Time) bool {
	at := r.RefreshAt
	spread := float64((c.Digest^uint64(c.Life().Received.UnixNano()))*0x9E3779B97F4A7C15>>11) / (1 << 53)
	at += (1 - at) / 2 * spread
	return float64(c.Life().Age(now)) >= at*float64(c.Life().Fresh)
}

// refusal is an error of the proxy's own, for a request that the proxy cannot or must not serve.
type refusal struct {
	code int
	why  policy.Reason
	text string
}

func refusing(r refusal) decision {
	return decision{step: refuseIt, outcome: policy.Failed, reason: r.why, refusal: r}
}

var (
	uncached  = refusal{http.StatusGatewayTimeout, policy.OnlyIfCached, "no copy is stored, and the request allows nothing else (only-if-cached)"}
	storeDown = refusal{http.StatusServiceUnavailable, policy.StoreUnavailable,
		"the shared store cannot be reached, and this route's reads do not go to the upstream without it; try again"}
)
