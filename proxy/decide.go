package proxy

import (
	"net/http"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// step is what is done for a request.
type step uint8

const (
	passOn      step = iota // the request itself goes to the origin
	passWrite               // as passOn, and what it changes is invalidated
	compare                 // as passOn, and what comes is compared with the copy
	passHead                // a HEAD goes to the origin, and its answer renews the copy or ends it
	serveCopy               // the copy answers
	serveParts              // stored parts of a whole answer
	fetchShared             // the answer is fetched together with whoever asks for the same
	fetchAlone              // the answer is fetched for this request only; it may still be stored
	refuseIt                // the proxy answers with an error of its own
	queueWrite              // the write is accepted, and goes to the origin from the queue
	showWrite               // what has become of a write that was
	serveBoard              // a submission is recorded, or a board is read
)

// decision is what is to become of a request: data, made without touching anything. execute carries it out, and explain prints
// it.
type decision struct {
	step    step
	outcome policy.Outcome
	reason  policy.Reason
	detail  string // said instead of the reason's word; empty: the reason's
	found   candidate
	apart   bool   // it waited for another request's fetch, which was not for it
	note    string // where the copy is that of another request

	renews  bool           // the copy is to be renewed in the background,
	class   upstream.Class // at the origin among these
	part    bool           // a fetch asks for the part that the client wants, not for the whole
	parts   partsAnswer    // what is served of parts
	refusal refusal
}

// status is what the decision says about the answer, before anything comes from the origin.
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

// decide says what is to become of a request at a time, by its plan, the configuration, and what is stored, invalidated and
// reachable then. It changes nothing but what the request holds. A request that shared a fetch which was not for it is decided
// once more.
func (p *Proxy) decide(rq *request, now time.Time) decision {
	d := p.choose(rq, now)
	d.apart = rq.waited
	if rq.attempts > 0 && d.outcome == policy.Miss && d.reason == d.found.reason {
		d.reason = rq.missed
	}
	return d
}

// choose is decide, but for what the request has been through before.
func (p *Proxy) choose(rq *request, now time.Time) decision {
	d, decided := p.unfetched(rq, now)
	if !decided {
		return p.missing(rq, d.found, now)
	}
	return d
}

// unfetched is the decision about a request for which nothing has to be fetched for others to share. Where something has to be, it is not
// decided, and found is what there is.
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

// comparing has the origin answer, and the answer compared with what would have been served.
func comparing(found candidate) decision {
	d := decision{step: compare, outcome: policy.WouldMiss, reason: found.reason, found: found}
	if found.use >= httpcache.StaleServable {
		// Cache-Status goes out with the head, before the last byte has been compared.
		d.outcome, d.reason = policy.Pass, policy.Observed
	}
	return d
}

// fromCopy answers with a copy, unless it does not meet If-Match or its like, which the origin then has to answer.
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

// ahead reports whether one more read of a fresh copy makes it worth renewing before it expires.
func (rq *request) ahead(c *store.Copy, now time.Time) bool {
	return rq.route.RenewsAhead && int(c.Use.Hits.Load())+1 >= rq.route.MinHits && rq.route.due(c, now)
}

// withCredentials answers a read with Authorization that no copy answers (RFC 9111 §3.5), by asking the origin for this request
// alone. It neither waits for others nor do others wait for it: whether its answer is theirs too is not known before it is
// there.
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
	if found.Copy == nil { // else what is wrong with the copy is the reason
		d.reason = policy.Authorization
	}
	return d
}

// missing answers a read that no copy answers whole.
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
	return rq.fetching(found)
}

// fetching says how an answer is fetched: with others, or, where that is known to be of no use, alone.
func (rq *request) fetching(found candidate) decision {
	d := fetching(fetchAlone, found)
	d.part = rq.wantsPart(found)
	switch {
	case d.part, rq.apart && found.Copy != nil, rq.unshared > 1, rq.attempts >= maxAttempts:
		return d
	case found.shareless == policy.NoReason:
		d.step = fetchShared
		return d
	case len(rq.ranges) > 0, // a whole that is only for this request is more than it asks for
		rq.route.Compression != httpcache.Identity: // what will not be held compressed is best had as the client and the origin agree on
		d = passing(policy.HitForMiss)
		d.found = found
		return d
	}
	d.reason = policy.HitForMiss
	return d
}

// fetching reports what is fetched, and why, as a miss.
func fetching(how step, found candidate) decision {
	return decision{step: how, outcome: policy.Miss, reason: found.reason, found: found}
}

// wantsPart reports whether this request asks the origin for a part instead of the whole: there is no copy that could be
// confirmed, and nothing is known against keeping the answer but its size.
func (rq *request) wantsPart(found candidate) bool {
	return len(rq.ranges) > 0 && rq.route.Range == policy.RangePart && found.Copy == nil &&
		(found.shareless == policy.NoReason || found.shareless == policy.TooLarge)
}

// due reports whether a copy is old enough to be renewed ahead of its expiry. Copies filled together become due apart:
// each has a place of its own in the first half of what is left after refresh_at.
func (r *route) due(c *store.Copy, now time.Time) bool {
	at := r.RefreshAt
	spread := float64((c.Digest^uint64(c.Life().Received.UnixNano()))*0x9E3779B97F4A7C15>>11) / (1 << 53)
	at += (1 - at) / 2 * spread
	return float64(c.Life().Age(now)) >= at*float64(c.Life().Fresh)
}

// refusal is an answer of the proxy's own to a request that it cannot or must not serve.
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
