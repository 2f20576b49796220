package proxy

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/server"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// exchange is one request on its way to its answer.
type exchange struct {
	p *Proxy
	request
	delivery
	origin    time.Duration // time spent waiting for the origin
	address   string        // from which the origin answered; empty: it did not
	probing   *store.Copy   // that may stand in for the origin, and for which this request asks; nil: none
	captured  *capture      // of the answer's body; nil: none is kept
	inspected *store.Room   // of what was read of the answer before the client got any of it; nil: nothing
	span      *observe.Span
	bypass    bypass // for which it goes past the cache
}

var exchanges = sync.Pool{New: func() any { return &exchange{request: request{key: make([]byte, 0, 512)}} }}

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ex := exchanges.Get().(*exchange)
	ex.begin(p, w, r)
	defer ex.finish()
	defer caught(ex)
	ex.serve()
	ex.whole = true
}

// begin notes what came. Every other field is zero: finish leaves it so.
func (ex *exchange) begin(p *Proxy, w http.ResponseWriter, r *http.Request) {
	upstream.AsSent(r.Header)
	ex.p, ex.r, ex.cfg, ex.rq = p, r, p.config(), &ex.request
	ex.start, ex.arrival = time.Now(), p.ledger.Token()
	ex.trusted = len(ex.cfg.Trusted) > 0 && ex.cfg.trusts(server.PeerAddr(r))
	ex.requestID = ex.broughtID()
	ex.w.ResponseWriter, ex.w.lends = w, r.ProtoMajor >= 2
	ex.span = p.tracer.Request(r, ex.start)
}

// serve is the path of a request: what it asks, what is to become of it, and doing that. What a shared fetch brings may not be
// for this request, which then is decided once more.
func (ex *exchange) serve() {
	ex.warnUnbelieved() // before what is not believed is taken off
	refused := ex.resolve(ex.scheme())
	if refused == nil && ex.target.Host == "" && (ex.r.ProtoAtLeast(1, 1) || ex.match.Route.Writes(ex.asked())) {
		refused = &hostless
	}
	ex.mode, ex.share = ex.route.draw(ex.start)
	if refused == nil {
		refused = ex.receive()
	}
	if refused != nil {
		if refused.code == http.StatusMethodNotAllowed {
			ex.w.Header()["Allow"] = []string{""} // no method is allowed on an authority (RFC 9110 §10.2.1)
		}
		if refused.code == http.StatusRequestEntityTooLarge {
			refuseUnread(ex, *refused)
			return
		}
		ex.refuse(*refused)
		return
	}
	ex.lease = ex.route.leaseState(ex.p.lease, ex.start)
	ex.plan()
	if readsPending(ex) {
		return
	}
	for now := ex.start; ; now = time.Now() {
		d := ex.p.decide(&ex.request, now)
		ex.p.discard(d.found)
		if ex.execute(&d) {
			return
		}
		if ex.attempts++; ex.attempts == 1 {
			ex.missed = d.reason
		}
	}
}

// hostless is the answer to a request that does not say whose resource it is about: what it changes would be that of every host. Before
// HTTP/1.1 there is no Host (RFC 9112 §3.2), and monitors ask without one.
var hostless = refusal{http.StatusBadRequest, policy.UncleanPath, "the request target cannot be understood: no host is given"}

// execute does what was decided. It reports whether the request is answered.
func (ex *exchange) execute(d *decision) bool {
	ex.traceLookup(d)
	if d.step == passOn || d.step == passWrite {
		ex.bypass = ex.bypassFor(d.reason) // before the answer, by which the route may learn that it is none
		ex.route.Metrics.Bypassed(ex.bypass.kind, ex.bypass.names)
	}
	switch d.step {
	case passOn:
		ex.passFor(d)
	case passWrite:
		ex.write(d)
	case queueWrite:
		accept(ex, d)
	case showWrite:
		showState(ex, d)
	case serveBoard:
		serveFromBoard(ex, d)
	case compare:
		ex.observe(d)
	case serveCopy:
		ex.serveCopy(d)
	case serveParts:
		ex.settle(d.status(ex.start))
		ex.deliverParts(d.parts)
	case fetchShared, fetchAlone, passHead:
		return ex.ask(d)
	case refuseIt:
		ex.refuse(d.refusal)
	}
	return true
}

// serveCopy answers with a copy.
func (ex *exchange) serveCopy(d *decision) {
	if d.renews { // before the copy goes out: a slow client is not to hold it up
		ex.p.fills.Renew(ex.start, d.found.Copy, func() fill.Renewal { return ex.renewal(d.found, d.class, ex.span) })
	}
	ex.deliver(d, d.status(ex.start))
}

// deliver answers with the copy of a decision, and counts the read.
func (ex *exchange) deliver(d *decision, status policy.Status) {
	c := d.found.Copy
	ex.settle(status)
	c.Use.Hit(ex.start)
	if status.Outcome == policy.Hit && ex.lease == leaseHeld && !d.found.other && ex.p.store.Lacks(c) {
		found := d.found.Found
		found.Key = strings.Clone(found.Key) // which may lie in the buffer of this request
		ex.p.fills.Rewarm(ex.route.Route, string(ex.key), found)
	}
	if err := ex.deliverCopy(c); err != nil {
		ex.p.store.Drop(d.found.Key, c)
		ex.unpackFailed(err)
	}
}

// unpackFailed ends an answer from a copy that is broken.
func (ex *exchange) unpackFailed(err error) {
	ex.p.logger.Error("copy not unpacked", "route", ex.route.Name, "error", err)
	ex.abort(policy.Incomplete)
}

// finish gives back the copies and the memory of bodies, reports the request and lets go of it. It runs however the request has ended, and when the last byte
// of a body was written.
func (ex *exchange) finish() {
	ex.held.release()
	ex.gathered.room.Release()
	ex.captured.release()
	ex.inspected.Release()
	ex.report()
	switch {
	case ex.status.Outcome == policy.Hit:
	case ex.status.Outcome == policy.Miss && ex.whole: // a fill has none of it: see fillRequest
	default:
		return // what serves other requests may hold on to it beyond their end
	}
	reset(ex)
}

// reset makes an exchange that nobody holds on to another request's, of which nothing is left but memory: not the key, which an answer that has
// none would tell.
func reset(ex *exchange) {
	key, validating := ex.key, ex.validating
	*ex = exchange{request: request{key: key[:0]}, delivery: delivery{validating: validating}}
	exchanges.Put(ex)
}
