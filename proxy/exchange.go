package proxy

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// exchange is one request on its way to its answer.
type exchange struct {
	p *Proxy
	request
	delivery
	origin time.Duration // time spent waiting for the origin
	span   *observe.Span
}

var exchanges = sync.Pool{New: func() any { return &exchange{request: request{key: make([]byte, 0, 512)}} }}

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ex := exchanges.Get().(*exchange)
	ex.begin(p, w, r)
	defer ex.finish()
	ex.serve()
	ex.whole = true
}

// begin notes what came. Every other field is zero: finish leaves it so.
func (ex *exchange) begin(p *Proxy, w http.ResponseWriter, r *http.Request) {
	ex.p, ex.r, ex.cfg, ex.rq = p, r, p.config(), &ex.request
	ex.start, ex.arrival = time.Now(), p.ledger.Token()
	ex.trusted = len(ex.cfg.Trusted) > 0 && ex.cfg.trusts(peerAddr(r))
	ex.requestID = ex.broughtID()
	ex.w.ResponseWriter = w
	ex.span = p.tracer.Request(r, ex.start)
}

// serve is the path of a request: what it asks, what is to become of it, and doing that. What a shared fetch brings may not be
// for this request, which then is decided once more.
func (ex *exchange) serve() {
	refused := ex.resolve(ex.scheme())
	if refused == nil {
		refused = ex.receive()
	}
	if refused != nil {
		ex.refuse(*refused)
		return
	}
	ex.lease = ex.route.leaseState(ex.p.lease, ex.start)
	ex.mode, ex.share = ex.route.draw(ex.start)
	ex.plan()
	for now := ex.start; ; now = time.Now() {
		d := ex.p.decide(&ex.request, now)
		ex.p.discard(d.found)
		if ex.execute(&d) {
			return
		}
		ex.attempts++
	}
}

// execute does what was decided. It reports whether the request is answered.
func (ex *exchange) execute(d *decision) bool {
	ex.traceLookup(d)
	switch d.step {
	case passOn:
		ex.pass(d.reason)
	case passWrite:
		ex.write(d)
	case compare:
		ex.observe(d)
	case passHead:
		ex.head(d)
	case serveCopy:
		ex.serveCopy(d)
	case serveParts:
		ex.settle(d.status(ex.start))
		ex.deliverParts(d.parts)
	case fetchShared:
		return ex.together(d)
	case fetchAlone:
		ex.alone(d)
	case refuseIt:
		ex.refuse(d.refusal)
	}
	return true
}

// serveCopy answers with a copy.
func (ex *exchange) serveCopy(d *decision) {
	ex.deliver(d, d.status(ex.start))
	if d.renews {
		ex.p.renewals.offer(&ex.request, d.found, d.class, ex.span)
	}
}

// deliver answers with the copy of a decision, and counts the read.
func (ex *exchange) deliver(d *decision, status policy.Status) {
	c := d.found.Copy
	ex.settle(status)
	c.Use.Hit()
	if status.Outcome == policy.Hit && ex.lease == leaseHeld && !d.found.other && ex.p.store.Lacks(c) {
		ex.rewarm(d.found)
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

// fail answers for an origin that gave no answer. status is what is told but for the outcome and the reason.
func (ex *exchange) fail(status policy.Status, why policy.Reason, err error) {
	status.Outcome, status.Reason = policy.Failed, why
	code, text := upstream.Status(why), "the upstream could not be reached or broke off"
	switch why {
	case policy.ClientGone:
		ex.gone()
	case policy.OriginTimeout:
		text = "the upstream did not answer in time"
	case policy.QueueFull, policy.QueueTimeout:
		status.Outcome = policy.Shed
		text = "the upstream has no place for this request, try again"
	case policy.StoreUnavailable:
		code, text = withheld.code, withheld.text
	case policy.Panic:
		code, text = http.StatusInternalServerError, "the proxy failed; its log says how"
	}
	ex.settle(status)
	ex.unanswered(err)
	ex.answer(code, text)
}

// unanswered logs a request that got no answer from its origin. One that was refused a place is the limit at work: there
// can be thousands a second, which the metrics and the access log count.
func (ex *exchange) unanswered(err error) {
	level := slog.LevelWarn
	if ex.status.Outcome == policy.Shed {
		level = slog.LevelDebug
	}
	ex.p.logger.Log(ex.p.lifetime, level, "no answer from upstream", "route", ex.route.Name, "upstream", ex.route.Upstream,
		"reason", ex.status.Reason.String(), "request_id", ex.id(), "error", err)
}

// statusGone is logged for a client that left before its answer; it is never sent.
const statusGone = 499

// gone ends a request whose client has left.
func (ex *exchange) gone() {
	ex.settle(policy.Status{Outcome: policy.Failed, Reason: policy.ClientGone})
	ex.w.code = statusGone
	panic(http.ErrAbortHandler)
}

// finish reports the request and lets go of it.
func (ex *exchange) finish() {
	ex.report()
	if ex.status.Outcome != policy.Hit {
		return // what serves other requests may hold on to it beyond their end
	}
	key := ex.key
	*ex = exchange{request: request{key: key}}
	exchanges.Put(ex)
}
