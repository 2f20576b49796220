package proxy

import (
	"context"
	"net/http"
	"slices"
	"time"
	"unsafe"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// candidate is what a look-up found and what may be done with it.
type candidate struct {
	store.Found
	use    use
	reason policy.Reason
	// previous is a copy that has expired for good: of no use but to tell whether what comes is different.
	previous *store.Copy
	other    bool // it is the copy of another query, which an origin said makes no difference
	apart    bool // every request has to have the copy confirmed for itself: waiting for another's answer is of no use
}

// use says what a copy is good for.
type use uint8

const (
	nothing    use = iota // there is none, or it was purged, or it is past its last use
	validate              // the origin may confirm it
	onError               // as validate, and it may be served if the origin fails
	whileFresh            // as onError, and it may be served at once while it is renewed
	serve                 // it is fresh
)

// read answers a GET or HEAD from a copy, or fetches one.
func (ex *exchange) read() {
	query, reason := ex.route.Query.Apply(ex.target.Query)
	if reason != policy.NoReason {
		ex.pass(reason)
		return
	}
	ex.query = query
	ex.key = ex.appendKey(ex.key, ex.r.Header)
	ex.ranges = httpcache.ParseRanges(ex.r.Method, ex.r.Header)
	if ex.wishes = ex.route.Client.Heeded(ex.r.Header); ex.wishes.NoStore && ex.mode == policy.On {
		ex.pass(policy.ClientDirective)
		return
	}
	if ex.mode == policy.Observe {
		if len(ex.ranges) > 0 { // nothing to compare a part with
			ex.pass(policy.RangeRequest)
			return
		}
		ex.observe()
		return
	}
	c := ex.lookup(unsafe.String(unsafe.SliceData(ex.key), len(ex.key)), ex.start)
	if ex.span.Recording() {
		ex.traceLookup(c)
	}
	switch c.use {
	case serve:
		ex.hit(c)
	case whileFresh:
		ex.stale(c.Copy, c.reason)
		ex.p.renewals.offer(ex, c, upstream.Fill)
	default:
		if other := ex.alike(); other != nil && ex.wishes == (httpcache.RequestDirectives{}) {
			ex.hit(*other)
			return
		}
		ex.miss(c)
	}
}

// alike finds a fresh copy of another request that answers this one too, by the origin's word; nil: there is none.
func (ex *exchange) alike() *candidate {
	if other := ex.anyOrigin(); other != nil {
		return other
	}
	return ex.searched()
}

// keyedHost is the part of the Host that is in the key: none, when the origin never sees it.
func (r *route) keyedHost(client string) string {
	if r.Host.Literal != "" {
		return ""
	}
	return client
}

// lookup finds the copy for this request and says what it is good for. The key is not kept.
func (ex *exchange) lookup(key string, now time.Time) candidate {
	selected := ex.route.selectingUnlisted()
	c := candidate{Found: ex.p.store.Lookup(key, ex.r.Header, now, selected...)}
	if c.Copy == nil && c.Variants != nil {
		// Perhaps because of a field that no fill forwards, which cannot have selected anything.
		names := c.Variants.Names()
		c.Found = ex.p.store.Lookup(key, ex.selection(names), now, selected...)
		if c.Copy != nil && !selectedBy(c.Copy, names) {
			c.Copy = nil
		}
	}
	if ex.trust == uninformed {
		c.Copy, c.reason = nil, policy.LeaseLapsed
		return c
	}
	if c.Copy == nil {
		c.reason = policy.URIMiss
		if c.Variants != nil || c.Unselected {
			c.reason = policy.VaryMiss
		}
		return c
	}
	c.use, c.reason = ex.judge(c.Copy, now)
	switch {
	case ex.personal && !ex.route.AnswersCredentials(ex.route.judgedBy(c.Copy)):
		c.Copy, c.use, c.reason = nil, nothing, policy.Authorization
	case c.use != nothing || c.reason == policy.Fenced:
	case c.reason == policy.Expired:
		// It gives way to what is fetched now; until then every request that asks sees what was there.
		c.Copy, c.previous = nil, c.Copy
	default:
		ex.p.store.Drop(c.Key, c.Copy)
		c.Copy = nil
	}
	return c
}

// selectedBy reports whether names has all fields that tell the copy from others. One that is stored while a request looks for
// it may have more, which the request was not asked for.
func selectedBy(c *store.Copy, names []string) bool {
	for _, name := range c.Vary {
		if !slices.Contains(names, name) {
			return false
		}
	}
	return true
}

// judge says what a copy is good for at a time, to this request.
func (ex *exchange) judge(c *store.Copy, now time.Time) (use, policy.Reason) {
	u, reason := ex.p.judge(c, now)
	if ex.wishes == (httpcache.RequestDirectives{}) || u == nothing {
		return u, reason
	}
	allowed := useOf(ex.wishes.Use(c.Life, c.Life.State(now), now))
	switch {
	case allowed < u && u == serve: // what is stale already goes to the origin for that reason
		return allowed, policy.ClientDirective
	case allowed < u:
		return allowed, reason
	case reason == policy.Expired: // what was purged is not what a client can accept
		return allowed, reason
	}
	return u, reason
}

// judge says what a copy is good for at a time.
func (p *Proxy) judge(c *store.Copy, now time.Time) (use, policy.Reason) {
	verdict := p.ledger.Check(&c.Stamp, c.Members)
	switch verdict {
	case invalidation.Purged:
		return nothing, policy.Purged
	case invalidation.Fenced:
		return nothing, policy.Fenced
	}
	state := c.Life.State(now)
	if state == httpcache.Dead {
		return nothing, policy.Expired
	}
	if verdict == invalidation.Soft {
		return softUse(c.Life, state), policy.SoftPurged
	}
	if state == httpcache.Fresh {
		return serve, policy.NoReason
	}
	return useOf(state), policy.Expired
}

// useOf is what a copy in this state is good for.
func useOf(state httpcache.Freshness) use {
	return [...]use{
		httpcache.Dead: nothing, httpcache.NeedsValidation: validate, httpcache.StaleOnError: onError,
		httpcache.StaleServable: whileFresh, httpcache.Fresh: serve,
	}[state]
}

// softUse treats a copy that was purged softly as one that has just become stale.
func softUse(l httpcache.Lifetime, state httpcache.Freshness) use {
	switch {
	case l.MustRevalidate || l.NoCache:
		return validate
	case l.StaleWhileRevalidate > 0 && (state == httpcache.Fresh || state == httpcache.StaleServable):
		return whileFresh
	case l.StaleIfError > 0 && state >= httpcache.StaleOnError:
		return onError
	default:
		return validate
	}
}

// hit delivers a fresh copy.
func (ex *exchange) hit(found candidate) {
	c := found.Copy
	if !ex.meets(c) {
		return
	}
	ex.status.Outcome = policy.Hit
	ex.excuse()
	ex.status.TTL, ex.status.HasTTL = c.Life.Left(ex.start), true
	n := c.Use.Hit()
	if ex.trust == informed && !found.other && ex.p.store.Lacks(c) {
		ex.rewarm(found)
	}
	if ex.route.Policy == policy.RefreshAhead && int(n) >= ex.route.MinHits && !found.other && !ex.personal && ex.due(c) {
		ex.p.renewals.offer(ex, found, upstream.Refresh)
	}
	ex.deliverCopy(c)
}

// meets reports whether the copy is what If-Match and its like ask for. If not, the origin has answered.
func (ex *exchange) meets(c *store.Copy) bool {
	if !httpcache.ForOrigin(ex.r.Header) || !isSuccess(c.Status) || httpcache.MeetsPreconditions(ex.r.Header, c.Header()) {
		return true
	}
	ex.pass(policy.Precondition)
	return false
}

// stale delivers a copy that is not fresh any more.
func (ex *exchange) stale(c *store.Copy, why policy.Reason) {
	if !ex.meets(c) {
		return
	}
	ex.status.Outcome, ex.status.Reason = policy.Stale, why
	ex.excuse()
	ex.status.TTL, ex.status.HasTTL = c.Life.Left(ex.start), true
	c.Use.Hit()
	ex.deliverCopy(c)
}

// miss fetches what no copy can answer.
func (ex *exchange) miss(c candidate) {
	ex.status.Reason = c.reason
	head := ex.r.Method == http.MethodHead
	switch {
	case !head && ex.deliverParts(&c):
	case onlyIfCached(ex.r.Header):
		ex.refuseUncached()
	case ex.p.withholds(ex.route, ex.start):
		ex.withhold(c)
	case head:
		ex.headMiss(c)
	default:
		ex.fetch(c)
	}
}

func (ex *exchange) refuseUncached() {
	ex.refuse(http.StatusGatewayTimeout, policy.OnlyIfCached, "no copy is stored, and the request allows nothing else (only-if-cached)")
}

func onlyIfCached(h http.Header) bool {
	lines := h["Cache-Control"]
	return len(lines) > 0 && httpcache.ParseDirectives(lines).OnlyIfCached
}

// request describes the fetch that this request needs, detached from its connection.
func (ex *exchange) request(c candidate, class upstream.Class, solo context.Context) *fetch {
	names := ex.selecting(c)
	q := &fetch{
		route: ex.route, match: ex.match, target: ex.target, query: ex.query, key: string(ex.key),
		header: ex.r.Header.Clone(), forward: ex.route.FillHeader(ex.r.Header, names), class: class, solo: solo, why: c.reason,
		previous: c.previous, asker: ex.span, method: http.MethodGet,
	}
	if ex.personal {
		ex.identify(q, names)
	}
	if ex.content != nil {
		q.method, q.content = ex.r.Method, ex.content
		policy.ContentHeader(q.forward, ex.r.Header)
	}
	if c.Copy != nil {
		q.previous = c.Copy
		if c.use >= validate && policy.Confirmable(q.method) {
			q.base, q.baseKey = c.Copy, c.Key
		}
	}
	return q
}

// known is the members of this request's copy that are clear before the answer is there.
func (ex *exchange) known() []invalidation.ID {
	return invalidation.IDsOf(ex.route.Members(&ex.match, ex.target, ex.query, ex.r.Header, nil))
}
