package proxy

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
)

// request is a client's request, taken apart. A decision about the request depends on nothing else but the state of the
// copies. Explain and ServeHTTP use the same type, so that both come to the same decision.
type request struct {
	r       *http.Request
	cfg     *Config            // the generation in force when the request came
	start   time.Time          // the clock, read after the request came
	arrival invalidation.Token // nothing invalidated up to here may be served
	trusted bool               // the fields in which the peer names the client and the scheme are believed

	route  *route
	match  policy.Match
	target httpcache.Target
	lease  leaseState
	mode   policy.Mode // for this request
	// outside says that the request is outside the share of requests to which the route's mode applies, so that mode is
	// Off.
	outside bool

	action   policy.Action // of the plan
	reason   policy.Reason // why the request passes, or is a write
	unlisted bool          // the request passes because of something that any client can send, unlisted by the route

	// Of reads only.

	query      string                      // as the route forwards the query
	key        []byte                      // the storage key
	text       string                      // the key as a string, after the first call of keyText
	url        int                         // length of the prefix of key that all preferences share (Request.URLKey); len(key): there are none
	content    []byte                      // of a read with content, from gathered; nil: the request is no such read
	ranges     httpcache.Ranges            // the wanted ranges of the answer; empty: the whole
	directives httpcache.RequestDirectives // the client's Cache-Control, as far as the route obeys clients
	personal   bool                        // the request has credentials, and the route does not share answers to these

	forFill   fillAsks          // result of asks, after the first call
	foreknown []invalidation.ID // result of known, after the first call; not changed afterwards
	tooMany   bool              // foreknown has more members than a copy may have
	held      handles           // references to the copies that were found for the request
	gathered  gathered          // the part of the body that was received ahead

	// The findings of earlier shared fetches whose answers were not for this request.

	attempts int           // number of such fetches
	missed   policy.Reason // why the first fetch was made; the reason that is reported
	waited   bool          // another request had led the last fetch
	elected  bool          // a fetch has failed, and another leader was elected
	byItself bool          // the request shares fetches only with requests that forward the same
	apart    bool          // each request has to have the copy confirmed for itself, so that none waits for others
	unshared int           // number of answers that could not be shared; after the second the request fetches alone
}

// maxHops is the number of earlier passages through a cacheproxy, by Via, at which a request is refused. A chain of a
// few is legitimate; this many are taken for a loop.
const maxHops = 8

// resolve parses the request target and finds the route. scheme is the scheme that the client has used. The refusal is
// nil if the request can be served; rq.route is set in any case.
func (rq *request) resolve(scheme string) *refusal {
	rq.route = rq.cfg.unmatched
	if rq.r.Method == http.MethodConnect {
		return &refusal{http.StatusMethodNotAllowed, policy.NoRoute, "CONNECT is not possible: this is a gateway to an origin, not a forward proxy"}
	}
	target, err := httpcache.ParseTarget(scheme, rq.r.Host, rq.r.RequestURI)
	if err != nil {
		return &refusal{http.StatusBadRequest, policy.UncleanPath, "the request target cannot be understood: " + err.Error()}
	}
	rq.target, rq.query = target, target.Query
	var client netip.Addr
	if rq.cfg.asksClient {
		client = rq.clientAddr()
	}
	rq.match, rq.reason = rq.cfg.Table.Match(rq.r.Method, target, rq.r.Header, client)
	if rq.reason == policy.UncleanPath || rq.reason == policy.NoRoute {
		// An origin may clean or decode the path. A write to such a path then changes a resource that belongs to the
		// route of the clean path.
		if clean, _ := rq.cfg.Table.Match(rq.r.Method, policy.CleanTarget(target), rq.r.Header, client); clean.Route.Writes(rq.asked()) {
			rq.match = clean
		}
	}
	if rq.match.Route != nil {
		rq.route = rq.cfg.routes[rq.match.Route]
	}
	if purgeMethods[rq.r.Method] && !rq.match.Route.Names(rq.r.Method) {
		return &purgeHere
	}
	if name, why := rq.match.Route.Misnamed(rq.r.Header); name != "" {
		return &refusal{http.StatusBadRequest, why, "Connection names " + name + ", which is for every recipient and not for this connection"}
	}
	if rq.route.DeclaresForwarded() && !rq.trusted {
		httpcache.StripForwarded(rq.r.Header)
	}
	if httpcache.ViaHops(rq.r.Header) >= maxHops {
		return &refusal{http.StatusLoopDetected, policy.NoRoute, "the request came through this proxy before: its upstream leads back to itself"}
	}
	return nil
}

// purgeMethods are methods with which plugins purge caches, and which APIs do not have.
var purgeMethods = map[string]bool{"PURGE": true, "BAN": true, "URIBAN": true, "PURGEKEYS": true}

// purgeHere is the answer to a purge method on the data listener. Anybody can send such a request there, so that
// nothing is purged. The request is not passed on either: many APIs would answer a purge method like a GET, which the
// sender would take for success.
var purgeHere = refusal{http.StatusForbidden, policy.MethodUnsafe, "nothing was purged: this is the port of clients. Purges go to the admin listener (admin.listen); " +
	"if the API is to get this method, name it in a route: match: PURGE /, policy: bypass"}

// plan sets the action and the reason, as far as they follow from the request and the configuration, and makes the key of a read. Mode, lease and
// content must be set.
func (rq *request) plan() {
	if rq.reason != policy.NoReason { // no route
		rq.action = policy.PassAction
		if rq.match.Route.Writes(rq.asked()) {
			rq.action, rq.reason = policy.WriteAction, policy.MethodUnsafe
		}
		return
	}
	rq.action, rq.reason = rq.way()
	rq.unlisted = rq.action == policy.PassAction && (rq.reason == policy.HeaderUnlisted || rq.reason == policy.RequestBody)
	if rq.outside && rq.reason == policy.ModeOff {
		rq.reason = policy.ModeShare
	}
	if rq.action != policy.ReadAction && rq.action != policy.CredentialsAction {
		return
	}
	rq.personal = rq.action == policy.CredentialsAction
	query, reason := rq.route.Query.Apply(rq.target.Query)
	if reason != policy.NoReason {
		rq.action, rq.reason, rq.unlisted = policy.PassAction, reason, true
		return
	}
	rq.query = query
	rq.key, rq.url = rq.appendKey(rq.key[:0], rq.r.Header, rq.mode == policy.Observe)
	rq.ranges = httpcache.ParseRanges(rq.r.Method, rq.r.Header)
	rq.directives = rq.route.Client.Heeded(rq.r.Header)
	switch {
	case rq.personal:
	case rq.directives.NoStore && rq.mode == policy.On:
		rq.action, rq.reason, rq.unlisted = policy.PassAction, policy.ClientDirective, true
	case rq.mode != policy.Observe:
	case len(rq.ranges) > 0: // nothing to compare a part with
		rq.action, rq.reason = policy.PassAction, policy.RangeRequest
	}
}

// letBy reports whether the proxy only forwards the request: no route matches, or the mode of the request is observe or
// off. Such a request is not refused because of anything that the proxy lacks, such as memory or the store. The mode
// must be set.
func (rq *request) letBy() bool { return rq.route == rq.cfg.unmatched || rq.mode != policy.On }

// unheld reports whether the request is let by and the upstream's limits do not apply to such requests. An unheld
// request does not wait for a place, and no timeout ends an unheld request.
func (rq *request) unheld() bool { return rq.letBy() && !rq.route.Origin.HoldsPassing() }

// way returns the request's action and reason by PlanRequest.
func (rq *request) way() (policy.Action, policy.Reason) {
	plan := func() (policy.Action, policy.Reason) {
		return policy.PlanRequest(rq.route.Route.Route, rq.mode, rq.asked(), rq.route.Selecting())
	}
	action, reason := plan()
	if reason == policy.HeaderUnlisted && !rq.trusted && httpcache.StripForwarded(rq.r.Header) {
		// X-Forwarded-* of a peer that is not trusted is not sent on. So these fields must not be a reason to pass, or
		// to be a write.
		return plan()
	}
	return action, reason
}

// asked returns the request in the form that package policy takes.
func (rq *request) asked() policy.Asked {
	return policy.Asked{Request: rq.r, Target: rq.target, Question: rq.content != nil}
}

// appendKey appends the storage key of a read with this header. url is the length of the key's prefix that does not
// depend on the client's preferences.
//
// With observing, the key differs from the keys of reads in other modes. The origin sees a request of an observed route
// as the client sent the request, with fields that no key holds. So the origin's answer is only compared and must never
// be served. No storage key is a prefix of another.
func (rq *request) appendKey(dst []byte, h http.Header, observing bool) (key []byte, url int) {
	dst = rq.route.AppendKey(dst, rq.target, rq.route.KeyedHost(rq.target.Host), rq.query, h)
	if rq.content != nil {
		dst = policy.AppendContent(append(dst, contentMark), rq.r.Method, h, rq.content)
	}
	if observing {
		dst = append(dst, observedMark)
	}
	return rq.route.Prefers.AppendTo(dst, h), len(dst)
}

// members returns the members of a copy of an answer with this header; nil: the members that are known without an
// answer.
func (rq *request) members(answer http.Header) []policy.Member {
	return rq.route.Members(&rq.match, rq.target, rq.query, rq.r.Header, answer)
}

// known returns the members of this request's copy that are known before the answer comes.
func (rq *request) known() []invalidation.ID {
	if rq.foreknown == nil {
		members := rq.members(nil)
		rq.foreknown, rq.tooMany = invalidation.IDsOf(members), len(members) > policy.MaxMembers
	}
	return rq.foreknown
}

// name returns the name of the request's copy, by the route's key template; empty: the route has no template.
func (rq *request) name() string { return rq.named(policy.Template.Render) }

// shownName is name for logs and traces: values that do not come from the path or the host are masked.
func (rq *request) shownName() string { return rq.named(policy.Template.RenderMasked) }

func (rq *request) named(render func(policy.Template, policy.Values) (string, bool)) string {
	if rq.match.Route == nil || rq.route.Key.Zero() {
		return ""
	}
	name, _ := render(rq.route.Key, policy.Values{Match: &rq.match, Header: rq.r.Header, Target: rq.target, Query: rq.query})
	return name
}

// selection returns the fields of the request that a fill would forward, given the fields that Vary is known to name.
// The origin can select a variant only by the forwarded fields.
func (rq *request) selection(names []string) http.Header {
	return rq.route.FillHeader(rq.r.Header, names)
}

// selecting returns the fields that Vary is known to name, on the route or for this URL.
func (rq *request) selecting(c candidate) []string {
	names := rq.route.Selecting()
	if c.Variants != nil {
		names = append(append([]string(nil), names...), c.Variants.Names()...)
	}
	return names
}

// flightKey returns the key under which this request shares a flight, given the header that the request's fill
// forwards. Requests with the same storage key share a flight if they agree in the fields that Vary is known to name.
// On a route that forwards all fields, and after a failure, requests share a flight only if they forward the same:
// nobody knows before the answer which fields Vary will name.
func (rq *request) flightKey(c candidate, forward http.Header) string {
	names := rq.selecting(c)
	switch {
	case rq.byItself, rq.route.ForwardHeaders == policy.ForwardAll:
		return fill.Question(keyText(rq), forward)
	case len(names) == 0:
		return keyText(rq)
	}
	return string(httpcache.VariantKey(nil, keyText(rq), names, forward))
}

// keyText returns the storage key as a string that may be kept. The string is allocated once for a request.
func keyText(rq *request) string {
	if rq.text != string(rq.key) {
		rq.text = string(rq.key)
	}
	return rq.text
}

// fillAsks is the question that a fill for a request would ask, given the fields that Vary is known to name. Deciding,
// joining and fetching share one fillAsks, of which only question is set later.
type fillAsks struct {
	names    []string
	forward  http.Header // of the fill; nil: not made yet
	question string      // fill.Question of forward; empty: not made yet
}

// asks returns the fillAsks of this request, which is made once for each set of fields that Vary is known to name.
func (rq *request) asks(c candidate) *fillAsks {
	names := rq.selecting(c)
	if rq.forFill.forward == nil || !slices.Equal(names, rq.forFill.names) {
		h := rq.selection(names)
		if rq.content != nil {
			policy.ContentHeader(h, rq.r.Header)
		}
		rq.forFill = fillAsks{names: names, forward: h}
	}
	return &rq.forFill
}

// question returns the key of the question (fill.Question) that a fill for this request would ask.
func (rq *request) question(c candidate) string {
	a := rq.asks(c)
	if a.question == "" {
		a.question = fill.Question(keyText(rq), a.forward)
	}
	return a.question
}

// fillRequest describes the fetch that this request needs. The result refers to nothing that ends with the client's
// connection. The result shares the request's header, which is not changed once the request has been planned. asker is
// the request's span.
func (rq *request) fillRequest(c candidate, class upstream.Class, asker *observe.Span) *fill.Request {
	asks := rq.asks(c)
	key := keyText(rq)
	q := &fill.Request{
		Route: rq.route.Route, Match: rq.match, Target: rq.target, Query: rq.query, Key: key, URLKey: key[:rq.url],
		Header: rq.r.Header, Forward: asks.forward, Question: asks.question, Method: http.MethodGet,
		Selected: asks.names, Previous: c.previous, Class: class, Why: c.reason, MaxObject: rq.cfg.MaxObject, Span: asker,
	}
	if known := rq.known(); !rq.tooMany {
		q.Known = known
	}
	if rq.personal {
		rq.identify(q, asks.names)
	}
	if rq.content != nil {
		q.Method, q.Content, q.Room = rq.r.Method, rq.content, rq.gathered.room
	}
	if c.Copy != nil {
		q.Previous = c.Copy
		// With a method that is not safe, If-None-Match is a condition on carrying out the request (RFC 9110 §13.1.2).
		if c.use >= httpcache.NeedsValidation && httpcache.Safe(q.Method) {
			q.Base, q.BaseKey = c.Copy, strings.Clone(c.Key) // c.Key may lie in the key buffer of this request
		}
	}
	// The fill gets an id of its own, unless the route declares that answers depend on the client's id.
	if lines := q.Forward[requestIDField]; len(lines) > 0 {
		q.ID = lines[0]
	} else {
		q.ID = newRequestID()
	}
	return q
}

// renewal describes the renewal of a copy that this request has read. The renewal asks the same as the fetch of the
// copy asked, and not the same as this reader asks: otherwise the last reader would choose the answer for all.
func (rq *request) renewal(found candidate, class upstream.Class, asker *observe.Span) fill.Renewal {
	found.use, found.reason = httpcache.NeedsValidation, policy.Renewal
	r, q := rq.route, rq.fillRequest(found, class, asker)
	q.Forward, q.Selected, q.Settled = r.RenewalHeader(q.Forward, found.Copy.Vary(), strings.Clone(found.Copy.Asked())), found.Copy.Vary(), true
	q.Question = ""
	return fill.Renewal{
		Request: q, Key: rq.flightKey(found, q.Forward), Known: rq.known(), Copy: found.Copy,
		Wanted: func(now time.Time) bool {
			mode, _ := r.mode(now)
			return mode == policy.On
		},
	}
}

// identify adds the client's credentials and address to a fetch.
func (rq *request) identify(q *fill.Request, names []string) {
	header, ok := rq.route.CredentialsHeader(rq.r.Header, names)
	if !ok {
		return
	}
	q.Forward, q.Question, q.Personal, q.Client = header, "", true, server.PeerAddr(rq.r)
	if rq.trusted {
		for _, name := range [...]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
			if lines := rq.r.Header[name]; len(lines) > 0 {
				q.Forward[name] = slices.Clone(lines)
			}
		}
	}
}

// semantics returns the method by which an answer is judged: GET for a read with content, whose answer may be stored
// like an answer to a GET.
func (rq *request) semantics() string {
	if rq.content != nil {
		return http.MethodGet
	}
	return rq.r.Method
}

// judge sets the use that this request may make of the candidate's copy at the time now, and the reason if that use is
// less than Fresh.
func (rq *request) judge(c *candidate, ledger *invalidation.Ledger, now time.Time) {
	c.use, c.reason = rq.route.Usable(c.Copy, ledger, now)
	if c.reason == policy.Unconfirmed && rq.route.FencesWrites {
		c.use, c.reason = httpcache.Dead, policy.Purged // no read may see the state before a write
	}
	if rq.directives == (httpcache.RequestDirectives{}) || c.use == httpcache.Dead {
		return
	}
	allowed := rq.directives.Use(c.Copy.Life(), c.Copy.Life().State(now), now)
	switch {
	case allowed < c.use && c.use == httpcache.Fresh: // a copy that is stale anyway keeps staleness as the reason
		c.use, c.reason = allowed, policy.ClientDirective
	case allowed < c.use, c.reason == policy.Expired: // max-stale can allow more than the route does, but not a copy that was purged
		c.use = allowed
	}
}

func onlyIfCached(h http.Header) bool {
	lines := h["Cache-Control"]
	return len(lines) > 0 && httpcache.ParseDirectives(lines).OnlyIfCached
}
