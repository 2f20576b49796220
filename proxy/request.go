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

// request is what one client asks, taken apart, with all that a decision about it goes by but the state of the copies. A
// request that is explained is the same value as one that is answered, so that both meet the same decision.
type request struct {
	r       *http.Request
	cfg     *Config            // the generation in force when it came
	start   time.Time          // read after it came
	arrival invalidation.Token // nothing invalidated up to here may be served
	trusted bool               // the peer's word about whom it forwards for is believed

	route  *route
	match  policy.Match
	target httpcache.Target
	lease  leaseState
	mode   policy.Mode // by which this request goes
	share  bool        // it fell outside the share of the requests that the route's mode is for

	action   policy.Action // of the plan
	reason   policy.Reason // why it passes, or is a write
	unlisted bool          // it passes for something that its route does not list, and that anybody can send

	// Of reads only.

	query      string                      // as the route forwards it
	key        []byte                      // the storage key
	text       string                      // the key, once it was wanted as a string; see keyText
	url        int                         // length of what of the key all that is told apart by preferences shares; that of the key: nothing is
	content    []byte                      // that the read carries its question in, out of gathered; nil: none
	ranges     httpcache.Ranges            // what of the answer is wanted; empty: all of it
	directives httpcache.RequestDirectives // Cache-Control of the client, where the route heeds it
	personal   bool                        // with credentials, on a route that does not share what they get

	forFill   fillAsks          // what a fill for it would ask, once that was wanted
	foreknown []invalidation.ID // what known gives, once it was wanted; nobody changes it
	tooMany   bool              // they are more than a copy may have
	held      handles           // the copies that were found for it
	gathered  gathered          // of its body

	// What a shared fetch has shown that was not for this request.

	attempts int           // how many there were
	missed   policy.Reason // why the first was made, which is what is told
	waited   bool          // the last one was another's
	elected  bool          // one has failed, and another leader was elected
	byItself bool          // it is fetched together only with those who forward the same
	apart    bool          // every request has to have the copy confirmed for itself: waiting for another's answer is of no use
	unshared int           // how many of them were for nobody but another who asked something else: there is one more election, and then it goes alone
}

// maxHops is how often a request may have passed a cacheproxy, by its Via: a chain of a few is legitimate, more is a loop.
const maxHops = 8

// resolve takes the request target apart and finds the route. scheme is how the client asked. The refusal is nil where the
// request can be served.
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
		// An origin may clean the path, or decode it: what it then writes to belongs to the route of the clean one.
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

// purgeMethods are those by which plugins purge caches, and which no API has of itself.
var purgeMethods = map[string]bool{"PURGE": true, "BAN": true, "URIBAN": true, "PURGEKEYS": true}

// purgeHere is the answer to a purge on the port of clients. Anybody can send one there, so it purges nothing; and passed on, many an
// API would answer it like a GET, which its sender takes for success.
var purgeHere = refusal{http.StatusForbidden, policy.MethodUnsafe, "nothing was purged: this is the port of clients. Purges go to the admin listener (admin.listen); " +
	"if the API is to get this method, name it in a route: match: PURGE /, policy: bypass"}

// plan decides the way of the request as far as the request itself and the configuration do, and makes the key of a read. The
// mode, the lease and the content are known by then.
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
	if rq.share && rq.reason == policy.ModeOff {
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

// letBy reports whether the proxy only lets the request by: no route matches, or the route is observed or off for it. It is not refused
// for want of anything that is the proxy's. The mode is known by then.
func (rq *request) letBy() bool { return rq.route == rq.cfg.unmatched || rq.mode != policy.On }

// unheld reports whether the request is let by, and no limit wants to hold it all the same: it is never made to wait, and no timeout
// ends it.
func (rq *request) unheld() bool { return rq.letBy() && !rq.route.Origin.HoldsPassing() }

// way is the way of the request in its mode.
func (rq *request) way() (policy.Action, policy.Reason) {
	plan := func() (policy.Action, policy.Reason) {
		return policy.PlanRequest(rq.route.Route.Route, rq.mode, rq.asked(), rq.route.Selecting())
	}
	action, reason := plan()
	if reason == policy.HeaderUnlisted && !rq.trusted && httpcache.StripForwarded(rq.r.Header) {
		// What it says of proxies is not believed and would not be sent on: it is no reason to go past the cache, or to be a write.
		return plan()
	}
	return action, reason
}

// asked is the request as plans see it.
func (rq *request) asked() policy.Asked {
	return policy.Asked{Request: rq.r, Target: rq.target, Question: rq.content != nil}
}

// appendKey appends the storage key of a read with this header, and says how much of it all share that ask for the URL, whatever they
// prefer.
//
// The origin sees a request of an observed route as it came, with fields that no key holds. What it answers is compared, and never
// served: it is kept apart, where no read of another mode looks. No key is the beginning of another.
func (rq *request) appendKey(dst []byte, h http.Header, observing bool) (key []byte, url int) {
	dst = rq.route.AppendKey(dst, rq.target, rq.route.KeyedHost(rq.target.Host), rq.query, h)
	if rq.content != nil {
		dst = policy.AppendContent(append(dst, asked), rq.r.Method, h, rq.content)
	}
	if observing {
		dst = append(dst, observed)
	}
	return rq.route.Prefers.AppendTo(dst, h), len(dst)
}

// members is what a copy of this answer would belong to; answer is nil where there is none yet.
func (rq *request) members(answer http.Header) []policy.Member {
	return rq.route.Members(&rq.match, rq.target, rq.query, rq.r.Header, answer)
}

// known is the members of this request's copy that are clear before the answer is there.
func (rq *request) known() []invalidation.ID {
	if rq.foreknown == nil {
		members := rq.members(nil)
		rq.foreknown, rq.tooMany = invalidation.IDsOf(members), len(members) > policy.MaxMembers
	}
	return rq.foreknown
}

// name is the name of the copy that would answer; empty where the route names none.
func (rq *request) name() string { return rq.named(policy.Template.Render) }

// shownName is the name for logs and traces, which have the path of a request, and no values that came with it otherwise.
func (rq *request) shownName() string { return rq.named(policy.Template.RenderMasked) }

func (rq *request) named(render func(policy.Template, policy.Values) (string, bool)) string {
	if rq.match.Route == nil || rq.route.Key.Zero() {
		return ""
	}
	name, _ := render(rq.route.Key, policy.Values{Match: &rq.match, Header: rq.r.Header, Target: rq.target, Query: rq.query})
	return name
}

// selection is what the origin would see of the request, by which it selects among the variants that names tells apart:
// fields that no fill forwards select nothing.
func (rq *request) selection(names []string) http.Header {
	return rq.route.FillHeader(rq.r.Header, names)
}

// selecting is the fields that Vary is known to name for this request.
func (rq *request) selecting(c candidate) []string {
	names := rq.route.Selecting()
	if c.Variants != nil {
		names = append(append([]string(nil), names...), c.Variants.Names()...)
	}
	return names
}

// flightKey is the key under which this request is coalesced, given what its fill forwards: one for each value of the fields that Vary
// is known to name, and where all fields are forwarded, one for each question, since nobody knows before the answer what Vary will name.
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

// keyText is the storage key, for others to keep. All who want it get the same string.
func keyText(rq *request) string {
	if rq.text != string(rq.key) {
		rq.text = string(rq.key)
	}
	return rq.text
}

// fillAsks is what a fill for a request asks, given the fields that Vary is known to name. Nobody changes it: whoever decides, joins and
// fetches has one and the same.
type fillAsks struct {
	names    []string
	forward  http.Header // of the fill; nil: not made yet
	question string      // its key; empty: not made yet
}

// asks is what a fill for this request asks, while nobody knows of other fields that Vary names.
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

// question is the key of what this request asks.
func (rq *request) question(c candidate) string {
	a := rq.asks(c)
	if a.question == "" {
		a.question = fill.Question(keyText(rq), a.forward)
	}
	return a.question
}

// fillRequest describes the fetch that this request needs, detached from its connection. asker is the request's span. Nobody changes the
// header of a request that has been planned.
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
		// To anything but a safe method If-None-Match is a condition on carrying it out (RFC 9110 §13.1.2).
		if c.use >= httpcache.NeedsValidation && httpcache.Safe(q.Method) {
			q.Base, q.BaseKey = c.Copy, strings.Clone(c.Key) // which may lie in the buffer of this request
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

// renewal describes the renewal of a copy that this request has read. It asks what was asked when the copy was fetched, whatever the
// reader asks beyond what has chosen the copy: else a stranger who reads last would choose what all others get.
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

// identify makes a fetch one with credentials, and lets the origin know whom they came from.
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

// semantics is the method by which an answer is judged: a question is to its content what GET is to a URL.
func (rq *request) semantics() string {
	if rq.content != nil {
		return http.MethodGet
	}
	return rq.r.Method
}

// judge says what a copy may be used for at a time, by this request, and why for no more.
func (rq *request) judge(c *candidate, ledger *invalidation.Ledger, now time.Time) {
	c.use, c.reason = rq.route.Usable(c.Copy, ledger, now)
	if c.reason == policy.Unconfirmed && rq.route.FencesWrites {
		c.use, c.reason = httpcache.Dead, policy.Purged // no read may see what was there before a write
	}
	if rq.directives == (httpcache.RequestDirectives{}) || c.use == httpcache.Dead {
		return
	}
	allowed := rq.directives.Use(c.Copy.Life(), c.Copy.Life().State(now), now)
	switch {
	case allowed < c.use && c.use == httpcache.Fresh: // what is stale already goes to the origin for that reason
		c.use, c.reason = allowed, policy.ClientDirective
	case allowed < c.use, c.reason == policy.Expired: // what was purged is not what a client can accept
		c.use = allowed
	}
}

func onlyIfCached(h http.Header) bool {
	lines := h["Cache-Control"]
	return len(lines) > 0 && httpcache.ParseDirectives(lines).OnlyIfCached
}
