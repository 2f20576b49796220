package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/origin"
	"cacheproxy/store"
)

const (
	// fillDeadline bounds a fill from its start to its last byte. It is less than invalidation.MaxFill.
	fillDeadline = 5 * time.Minute
	// sharelessFor is how long an answer that could not be shared is remembered (hit-for-miss).
	sharelessFor = time.Minute
	readSize     = 32 << 10
)

// fetch is what a fill needs to know. It holds nothing of a client's connection.
type fetch struct {
	route    *route
	match    policy.Match
	target   policy.Target
	query    string
	key      string      // storage key
	header   http.Header // the client's, for keys and members; read only
	forward  http.Header // what the origin gets
	method   string
	content  []byte      // of the request; nil: none
	base     *store.Copy // what a 304 would confirm; nil: fetch it whole
	baseKey  string      // where base is stored
	class    origin.Class
	solo     context.Context // set when the fill serves one client only: it ends with it
	personal bool            // with the credentials of the one client that the fill is for
	client   netip.Addr      // whom the origin is told of; zero: nobody
	why      policy.Reason   // labels the request to the origin
	previous *store.Copy     // what was stored before, to notice changes that nothing announced
	asker    *observe.Span   // of the request that needs it, or set off its renewal
	ranges   string          // Range of the one client that the fill is for; empty: fetch it whole
	ifRange  string          // its If-Range
	parts    *store.Parts    // what is there already of the whole; nil: nothing
	gap      policy.Span     // what parts lack
	hints    chan<- hint     // informational responses on their way to the client that leads; nil: nobody wants them
}

// id is the request id of a fill: its own, unless the route declares that answers depend on the client's.
func (q *fetch) id() string {
	if lines := q.forward[requestIDField]; len(lines) > 0 {
		return lines[0]
	}
	return newRequestID()
}

// fill is an answer of the origin on its way to the requests that share it. It is immutable but for its body once it was
// handed out.
type fill struct {
	status  int
	length  int64       // of the body; -1: not known
	header  http.Header // as stored and delivered; read only
	age     []string    // as the origin sent it
	trailer http.Header // set before the body ends
	verdict policy.Verdict
	ids     []invalidation.ID
	token   invalidation.Token
	forward http.Header // selects the variant
	body    *body
	lead    *reader        // for the request that started the flight, which must detach it
	fresh   *store.Copy    // the copy that a 304 confirmed
	ranged  bool           // a part was asked for
	part    *policy.PartOf // the part that came and may be kept
	rest    bool           // only what was missing came; FwdStatus is 206
	stored  bool           // a 304's copy was stored
	took    time.Duration
	id      string // the request id that the origin saw: the fill's own
	span    *observe.Span

	again bool // nothing was fetched, because there may be a fresh copy now or soon: look again

	reason policy.Reason // why there is no answer; NoReason: there is one
	err    error
}

// lost is the answer of a flight that ended in a way that cannot be.
func lost() *fill {
	return &fill{reason: policy.Panic, err: errors.New("join flight: it has no answer")}
}

// fill fetches an answer up to its header and leaves a goroutine that fetches the rest.
func (p *Proxy) fill(f *flight, q *fetch) (res *fill) {
	if !p.tasks.begin() {
		res = &fill{reason: policy.OriginError, err: errors.New("fetch from upstream: the proxy is closed")}
		p.flights.land(f, res, false)
		return res
	}
	defer p.tasks.end()
	ctx, cancel := context.WithCancelCause(p.lifetime)
	c := &call{p: p, f: f, q: q, ctx: ctx, cancel: cancel, id: q.id(), began: time.Now(), span: p.trace(q)}
	defer func() {
		if err := c.panicked(recover()); err != nil {
			res = &fill{reason: policy.Panic, err: err}
			c.release()
			p.flights.land(f, res, false)
			c.end()
		}
	}()
	c.deadline = time.AfterFunc(fillDeadline, func() { cancel(context.DeadlineExceeded) })
	if q.solo != nil {
		c.unbind = context.AfterFunc(q.solo, func() { cancel(context.Cause(q.solo)) })
	}
	res = c.run()
	if res.reason != policy.NoReason {
		p.flights.land(f, res, false)
		c.end()
	}
	return res
}

// call is one fill at work.
type call struct {
	p        *Proxy
	f        *flight
	q        *fetch
	ctx      context.Context
	cancel   context.CancelCauseFunc
	deadline *time.Timer
	unbind   func() bool
	claim    store.Claim        // the right to fetch for all instances; nil: not this one, or not any more
	token    invalidation.Token // of the request that was sent last
	slot     *origin.Slot       // of that request
	resp     *http.Response     // its answer
	id       string             // of the requests to the origin
	began    time.Time
	span     *observe.Span
}

// panicked tells of a defect, which is the end of this fill and of nothing else. It is nil when there was none.
func (c *call) panicked(v any) error {
	if v == nil {
		return nil
	}
	c.p.logger.Error("fill panicked", "route", c.q.route.Name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	return fmt.Errorf("fill: panic: %v", v)
}

// release gives back the place at the origin that a panic has left behind.
func (c *call) release() {
	if c.resp != nil {
		c.resp.Body.Close()
	}
	if c.slot != nil {
		c.slot.Release()
	}
}

func (c *call) end() {
	c.deadline.Stop()
	if c.unbind != nil {
		c.unbind()
	}
	c.disclaim(store.Vacant)
	c.cancel(nil)
	c.span.End()
}

func (c *call) run() *fill {
	if res := c.elsewhere(); res != nil {
		return res
	}
	c.resume()
	requested := time.Now()
	resp, err := c.roundTrip()
	if err == nil && c.q.parts != nil && ofRange(resp.StatusCode) && !c.q.completes(resp) {
		// It is a part of something else, or 416 because there is less now.
		resp.Body.Close()
		c.q.parts, requested = nil, time.Now()
		resp, err = c.roundTrip()
	}
	if err == nil && resp.StatusCode == http.StatusNotModified &&
		(c.q.base == nil || !policy.ConfirmsStored(c.q.base.Header(), resp.Header)) {
		// It confirms something else than what is stored: fetch the answer whole.
		drain(resp)
		c.q.base, requested = nil, time.Now()
		resp, err = c.roundTrip()
	}
	if err != nil {
		return c.failed(err)
	}
	if resp.StatusCode == http.StatusNotModified && c.q.base == nil {
		drain(resp)
		return c.failed(errors.New("fetch response: the origin answered 304 to an unconditional request"))
	}
	return c.land(resp, requested)
}

func (c *call) failed(err error) *fill {
	if cause := context.Cause(c.ctx); cause != nil && c.ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return c.refused(origin.Classify(err), err)
}

// refused is the end of a fill without an answer.
func (c *call) refused(reason policy.Reason, err error) *fill {
	c.fruitless()
	c.span.Failed(reason)
	return &fill{reason: reason, err: err, took: time.Since(c.began), id: c.id, span: c.span}
}

// roundTrip waits for a place at the origin, takes the token, and sends the request.
func (c *call) roundTrip() (*http.Response, error) {
	q := c.q
	slot, err := q.route.origin.Acquire(c.ctx, origin.Place{Class: q.class, Route: q.route.Name})
	if err != nil {
		return nil, fmt.Errorf("fetch from upstream %s: %w", q.route.origin.Name(), err)
	}
	c.slot, c.resp = slot, nil
	c.token = c.p.flights.send(c.f)
	// What was invalidated before the token is not worth confirming: a 304 would bring it back. So would one for what may have
	// been invalidated, for all that is known here.
	informed := c.p.lease.Valid(time.Now())
	if b := q.base; b != nil && (!informed || c.p.ledger.Check(&b.Stamp, b.Members) > invalidation.Soft) {
		q.base = nil
	}
	if b := q.parts; b != nil && (!informed || c.p.ledger.Check(&b.Of.Stamp, b.Of.Members) > invalidation.Soft) {
		q.parts = nil
	}
	req := c.outgoing()
	sent := c.p.ask(q.route, q.why, c.span, req)
	resp, err := q.route.origin.Send(req, slot)
	c.resp = resp
	sent(resp, err)
	return resp, err
}

// outgoing is the request as the origin gets it.
func (c *call) outgoing() *http.Request {
	q := c.q
	h := q.forward.Clone()
	if q.base != nil {
		policy.AddValidators(h, q.base.Header())
	}
	q.askFor(h)
	q.route.OfferSurrogate(h)
	// The client's address is not part of the key: unless the request is one person's, the origin does not learn it. What else
	// is here of the way that the request came is part of the key, or was said by a trusted proxy.
	policy.Forward(h, q.client, q.target.Scheme, q.target.Host, true)
	policy.AppendVia(h, 1, 1)
	h[requestIDField] = []string{c.id}
	req := (&http.Request{
		Method: q.method, URL: &url.URL{}, Header: h, Host: q.route.origin.Host(q.target.Host),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(q.informed(c.ctx))
	if q.content != nil {
		req.Body, req.ContentLength = again(q.content), int64(len(q.content))
	}
	origin.SetTarget(req, q.route.origin.URL(), q.target.WithQuery(q.query))
	return req
}

// drain reads the little that may come with a 304, so that the connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // a body that cannot be read costs the connection, nothing else
	resp.Body.Close()
}

// land decides from the header who may use the answer, before anybody sees a byte of it.
func (c *call) land(resp *http.Response, requested time.Time) *fill {
	q, r := c.q, c.q.route
	received := time.Now()
	rest := q.parts != nil && resp.StatusCode == http.StatusPartialContent
	if rest {
		q.complete(resp)
	}
	status, header := resp.StatusCode, resp.Header
	confirmed := status == http.StatusNotModified
	length := resp.ContentLength
	if confirmed {
		status, header = q.base.Status, policy.MergeNotModified(q.base.Header(), resp.Header)
		length = int64(q.base.Length())
	}
	res := &fill{
		status: status, length: length, token: c.token, age: header["Age"], forward: q.forward, took: received.Sub(c.began),
		ranged: q.ranges != "", rest: rest, id: c.id, span: c.span,
	}
	c.judge(res, policy.Fetch{
		Method: http.MethodGet, Authorized: len(q.header["Authorization"]) > 0, Requested: requested, Received: received,
		Status: status, Header: header, BodyLength: length, MaxObject: c.p.config().MaxObject, Jitter: rand.Float64(),
		Accepting: q.forward["Accept-Encoding"],
	})
	if streams(header) {
		res.verdict.Share, res.verdict.Store, res.verdict.Reason = false, false, policy.TooLarge
	}
	members := r.Members(&q.match, q.target, q.query, q.header, header)
	res.ids = invalidation.IDsOf(members)
	if confirmed {
		// The stored header has no surrogate keys, and a 304 may leave them out: the copy keeps the ones it came with.
		res.ids = union(res.ids, q.base.Members)
	}
	if rest {
		res.ids = union(res.ids, q.parts.Of.Members)
	}
	if len(members) > policy.MaxMembers || len(res.ids) > policy.MaxMembers {
		res.verdict.Share, res.verdict.Store, res.verdict.Reason = false, false, policy.TooManyMembers
	}
	if res.verdict.Store {
		r.learn(res.verdict.Vary)
		if res.ranged && status == http.StatusOK && c.unbind != nil {
			c.unbind() // the whole came, and is worth more than the client that wants a part of it
		}
	}
	kept := r.StoredHeader(header)
	if !res.verdict.Store && !res.verdict.Share {
		kept = policy.FilledHeader(header) // its cookies are for the one who asked
	}
	res.header = r.negotiated(status, dated(kept, received))
	if confirmed {
		return c.confirm(resp, res)
	}
	keep := int64(0)
	if res.verdict.Store || res.verdict.Share {
		keep = c.p.config().MaxObject
	}
	res.body = newBody(c.p.store.Memory().Budget(), keep, length)
	res.body.unread = func() { c.cancel(errAbandoned) }
	// Before the first byte comes: a body that is not kept ends when it has no reader.
	res.lead, _ = res.body.attach()
	c.publish(res)
	c.p.tasks.Go(func() { c.pump(resp, res) })
	return res
}

// judge decides what may become of the answer. To a request for a part, a part may be the answer; to any other, it is kept
// by nobody. Any other answer to it than the whole may be about its Range, and is for nobody else.
func (c *call) judge(res *fill, f policy.Fetch) {
	r := c.q.route.Route
	if !res.ranged || f.Status == http.StatusOK {
		res.verdict = r.Judge(f)
		return
	}
	part, verdict := r.JudgePart(f)
	if res.verdict = verdict; verdict.Store {
		res.part = &part
	}
}

// union is all of a and what only b has.
func union(a, b []invalidation.ID) []invalidation.ID {
	for _, id := range b {
		if !slices.Contains(a, id) {
			a = append(a, id)
		}
	}
	return a
}

// dated adds the time of arrival to an answer that does not say when it was made (RFC 9110 §6.6.1). Without it, every
// delivery of the copy would claim to have been made at that moment.
func dated(h http.Header, received time.Time) http.Header {
	if len(h["Date"]) == 0 {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
	return h
}

// streams reports whether an answer has no end to wait for.
func streams(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (t == "text/event-stream" || t == "application/grpc")
}

// publish lets the waiting requests have the answer, or sends them on their way.
func (c *call) publish(res *fill) {
	if !res.verdict.Share || !res.verdict.Store {
		c.fruitless()
	}
	if !res.verdict.Share {
		c.remember(res)
		if !res.verdict.Store {
			// Only the first client reads on: the answer lasts as long as it does.
			c.deadline.Stop()
		}
	}
	c.p.flights.land(c.f, res, res.verdict.Share && res.verdict.Store)
}

// remember notes that waiting for such an answer is of no use.
func (c *call) remember(res *fill) {
	if c.q.personal {
		return // it says nothing of what others get
	}
	if res.ranged && res.status != http.StatusOK {
		return // it says nothing of the whole
	}
	// A client that is told to slow down learns nothing about the resource: a copy of it stays, and requests wait in line.
	if !res.verdict.Store && res.status < 500 && res.status != http.StatusTooManyRequests {
		c.p.store.MarkShareless(c.q.key, c.q.forward, time.Now().Add(sharelessFor), res.verdict.Reason)
	}
}

// confirm makes the copy that a 304 renews.
func (c *call) confirm(resp *http.Response, res *fill) *fill {
	drain(resp)
	fresh, err := c.q.route.reseal(c.q.base, res.header, res.verdict.Store)
	if err != nil {
		c.p.store.Drop(c.q.baseKey, c.q.base)
		return c.failed(err)
	}
	fresh.Life = res.verdict.Lifetime
	res.fresh, res.body = fresh, wholeBody(fresh.Body)
	res.lead, _ = res.body.attach()
	res.stored = c.put(res, fresh)
	if !res.verdict.Store && !c.q.personal {
		// It is still right, but by what the origin says now it must not be kept (RFC 9111 §4.3.4, §3).
		c.p.store.Drop(c.q.baseKey, c.q.base)
	}
	c.p.flights.land(c.f, res, false)
	c.end()
	return res
}
