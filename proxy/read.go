package proxy

import (
	"net/http"
	"slices"
	"strings"
	"time"
	"unsafe"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// candidate is what a look-up found and what may be done with it.
type candidate struct {
	store.Found
	use    policy.Freshness // what the copy may be used for
	reason policy.Reason
	// previous is a copy that has expired for good: of no use but to tell whether what comes is different.
	previous *store.Copy
	other    bool // it is the copy of another query, which an origin said makes no difference
	apart    bool // every request has to have the copy confirmed for itself: waiting for another's answer is of no use
}

// read answers a GET or HEAD from a copy, or fetches one.
func (ex *exchange) read() {
	query, reason := ex.route.Query.Apply(ex.target.Query)
	if reason != policy.NoReason {
		ex.pass(reason)
		return
	}
	ex.query = query
	ex.key = ex.appendKey(ex.key, ex.r.Header)
	ex.ranges = policy.ParseRanges(ex.r.Method, ex.r.Header)
	if ex.wishes = ex.route.ClientWishes(ex.r.Header); ex.wishes.NoStore && ex.mode == policy.On {
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
	case policy.Fresh:
		ex.hit(c)
	case policy.StaleServable:
		ex.stale(c.Copy, c.reason)
		ex.offerRenewal(c, upstream.Fill)
	default:
		if other := ex.alike(); other != nil && ex.wishes == (policy.Wishes{}) {
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

// lookup finds the copy for this request and says what it is good for. The key is not kept.
func (ex *exchange) lookup(key string, now time.Time) candidate {
	selected := ex.route.SelectingUnlisted()
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
		c.Copy, c.use, c.reason = nil, policy.Dead, policy.Authorization
	case c.use != policy.Dead || c.reason == policy.Fenced:
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
func (ex *exchange) judge(c *store.Copy, now time.Time) (policy.Freshness, policy.Reason) {
	u, reason := c.Usable(ex.p.ledger, now)
	if ex.wishes == (policy.Wishes{}) || u == policy.Dead {
		return u, reason
	}
	allowed := ex.wishes.Use(c.Life, c.Life.State(now), now)
	switch {
	case allowed < u && u == policy.Fresh: // what is stale already goes to the origin for that reason
		return allowed, policy.ClientDirective
	case allowed < u:
		return allowed, reason
	case reason == policy.Expired: // what was purged is not what a client can accept
		return allowed, reason
	}
	return u, reason
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
		found.Key = strings.Clone(found.Key) // it may lie in a buffer of this request
		ex.p.fills.Rewarm(ex.route.Route, string(ex.key), found.Found)
	}
	if ex.route.Policy == policy.RefreshAhead && int(n) >= ex.route.MinHits && !found.other && !ex.personal && ex.due(c) {
		ex.offerRenewal(found, upstream.Refresh)
	}
	ex.deliverCopy(c)
}

// meets reports whether the copy is what If-Match and its like ask for. If not, the origin has answered.
func (ex *exchange) meets(c *store.Copy) bool {
	if !policy.ForOrigin(ex.r.Header) || !isSuccess(c.Status) || policy.MeetsPreconditions(ex.r.Header, c.Header()) {
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
	case ex.p.fills.Withholds(ex.route.Route, ex.start):
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
	return len(lines) > 0 && policy.ParseDirectives(lines).OnlyIfCached
}

// request describes the fill that this request needs, detached from its connection.
func (ex *exchange) request(c candidate, class upstream.Class) *fill.Request {
	names := ex.selecting(c)
	q := &fill.Request{
		Route: ex.route.Route, Match: ex.match, Target: ex.target, Query: ex.query, Key: string(ex.key),
		Header: ex.r.Header.Clone(), Forward: ex.route.FillHeader(ex.r.Header, names), Method: http.MethodGet,
		Previous: c.previous, Class: class, Why: c.reason, MaxObject: ex.cfg.MaxObject, Span: ex.span,
	}
	if ex.personal {
		ex.identify(q, names)
	}
	if ex.content != nil {
		q.Method, q.Content = ex.r.Method, ex.content
		policy.ContentHeader(q.Forward, ex.r.Header)
	}
	if c.Copy != nil {
		q.Previous = c.Copy
		if c.use >= policy.NeedsValidation && policy.Confirmable(q.Method) {
			q.Base, q.BaseKey = c.Copy, c.Key
		}
	}
	// The fill's own, unless the route declares that answers depend on the client's.
	if lines := q.Forward[requestIDField]; len(lines) > 0 {
		q.ID = lines[0]
	} else {
		q.ID = newRequestID()
	}
	return q
}

// known is the members of this request's copy that are clear before the answer is there.
func (ex *exchange) known() []invalidation.ID {
	return invalidation.IDsOf(ex.route.Members(&ex.match, ex.target, ex.query, ex.r.Header, nil))
}
