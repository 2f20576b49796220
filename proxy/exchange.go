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
	address   string        // the origin's, of the answer; empty: the origin has not answered
	probing   *store.Copy   // the copy for which this request is the probe (ask); nil: no probe
	captured  *capture      // the copy of the answer's body; nil: the body is not captured
	inspected *store.Room   // memory of the part of the answer that writing.readAnswer has read; nil: none
	span      *observe.Span
	bypass    bypass // names because of which the request goes past the cache
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

// begin sets the fields that follow from the request alone. All other fields are zero when begin is called: reset
// clears them.
func (ex *exchange) begin(p *Proxy, w http.ResponseWriter, r *http.Request) {
	upstream.AsSent(r.Header)
	ex.p, ex.r, ex.cfg, ex.rq = p, r, p.config(), &ex.request
	ex.start, ex.arrival = time.Now(), p.ledger.Token()
	ex.trusted = len(ex.cfg.Trusted) > 0 && ex.cfg.trusts(server.PeerAddr(r))
	ex.requestID = ex.broughtID()
	ex.w.ResponseWriter, ex.w.lends = w, r.ProtoMajor >= 2
	ex.span = p.tracer.Request(r, ex.start)
}

// serve takes a request from its head to its answer: resolve, receive, plan, decide, execute. If a shared fetch brings
// an answer that is not for this request, serve decides and executes again.
func (ex *exchange) serve() {
	ex.warnUnbelieved() // before resolve, which may strip the forwarding fields
	refused := ex.resolve(ex.scheme())
	if refused == nil && ex.target.Host == "" && (ex.r.ProtoAtLeast(1, 1) || ex.match.Route.Writes(ex.asked())) {
		refused = &hostless
	}
	ex.mode, ex.outside = ex.route.draw(ex.start)
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

// hostless is the answer to a request without a host. A write without a host would invalidate the copies of every host.
// Reads in HTTP/1.0 are served: that version does not require Host (RFC 9112 §3.2), and monitors leave Host out.
var hostless = refusal{http.StatusBadRequest, policy.UncleanPath, "the request target cannot be understood: no host is given"}

// execute carries out a decision, and reports whether the request is answered. If not, serve decides again.
func (ex *exchange) execute(d *decision) bool {
	ex.traceLookup(d)
	if d.step == passOn || d.step == passWrite {
		ex.bypass = ex.bypassFor(d.reason) // before the answer, whose Vary may make the field a listed one
		ex.route.Metrics.Bypassed(ex.bypass.kind, ex.bypass.names)
	}
	switch d.step {
	case passOn:
		ex.passFor(d)
	case passWrite:
		ex.write(d)
	case queueWrite:
		acceptWrite(ex, d)
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
	if d.renews { // before the copy is sent: a slow client must not delay the renewal
		ex.p.fills.Renew(ex.start, d.found.Copy, func() fill.Renewal { return ex.renewal(d.found, d.class, ex.span) })
	}
	ex.deliver(d, d.status(ex.start))
}

// deliver answers with the copy of a decision and counts the read. If a tier below memory may have lost the copy,
// deliver has the copy written there again.
func (ex *exchange) deliver(d *decision, status policy.Status) {
	c := d.found.Copy
	ex.settle(status)
	c.Use.Hit(ex.start)
	if status.Outcome == policy.Hit && ex.lease == leaseHeld && !d.found.other && ex.p.store.Lacks(c) {
		found := d.found.Found
		found.Key = strings.Clone(found.Key) // the old Key may lie in the buffer of this request
		ex.p.fills.Rewarm(ex.route.Route, string(ex.key), found)
	}
	if err := ex.deliverCopy(c); err != nil {
		ex.p.store.Drop(d.found.Key, c)
		ex.unpackFailed(err)
	}
}

// unpackFailed logs that a copy cannot be decoded, and breaks off the answer.
func (ex *exchange) unpackFailed(err error) {
	ex.p.logger.Error("copy not unpacked", "route", ex.route.Name, "error", err)
	ex.abort(policy.Incomplete)
}

// finish releases the copies and the memory of bodies, and reports the request. The exchange returns to the pool if
// nothing else can still use the exchange. Callers defer finish, so that finish runs after the last byte was written,
// and also after a panic.
func (ex *exchange) finish() {
	ex.held.release()
	ex.gathered.room.Release()
	ex.captured.release()
	ex.inspected.Release()
	ex.report()
	switch {
	case ex.status.Outcome == policy.Hit:
	case ex.status.Outcome == policy.Miss && ex.whole: // a fill that goes on does not refer to ex: see fillRequest
	default:
		return // a transport or hook may still refer to the request
	}
	reset(ex)
}

// reset clears an exchange to which nothing refers any more, and returns the exchange to the pool. Only buffers are
// kept. The length of the key becomes zero: otherwise the next request without a key would show the key of this one.
func reset(ex *exchange) {
	key, validating := ex.key, ex.validating
	*ex = exchange{request: request{key: key[:0]}, delivery: delivery{validating: validating}}
	exchanges.Put(ex)
}
