package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// fillDeadline bounds a fill from its start to its last byte. It is less than invalidation.MaxFill.
const fillDeadline = 5 * time.Minute

// fetch is what a fill needs to know. It holds nothing of a client's connection.
type fetch struct {
	route    *route
	match    policy.Match
	target   httpcache.Target
	query    string
	key      string      // storage key
	header   http.Header // the client's, for keys and members; read only
	forward  http.Header // what the origin gets
	method   string
	content  []byte      // of the request; nil: none
	base     *store.Copy // what a 304 would confirm; nil: fetch it whole
	baseKey  string      // where base is stored
	class    upstream.Class
	solo     context.Context // set when the fill serves one client only: it ends with it
	personal bool            // with the credentials of the one client that the fill is for
	client   netip.Addr      // whom the origin is told of; zero: nobody
	why      policy.Reason   // labels the request to the origin
	previous *store.Copy     // what was stored before, to notice changes that nothing announced
	asker    *observe.Span   // of the request that needs it, or set off its renewal
	ranges   string          // Range of the one client that the fill is for; empty: fetch it whole
	ifRange  string          // its If-Range
	parts    *store.Parts    // what is there already of the whole; nil: nothing
	gap      httpcache.Span  // what parts lack
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
	lead    *reader           // for the request that started the flight, which must detach it
	fresh   *store.Copy       // the copy that a 304 confirmed
	ranged  bool              // a part was asked for
	part    *httpcache.PartOf // the part that came and may be kept
	rest    bool              // only what was missing came; FwdStatus is 206
	stored  bool              // a 304's copy was stored
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
	slot     *upstream.Slot     // of that request
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

// run asks the origin until its answer is one to what was asked for.
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
	if err == nil && resp.StatusCode == http.StatusNotModified && c.q.base != nil && !httpcache.ConfirmsStored(c.q.base.Header(), resp.Header) {
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
	return c.refused(upstream.Classify(err), err)
}

// refused is the end of a fill without an answer.
func (c *call) refused(reason policy.Reason, err error) *fill {
	c.fruitless()
	c.span.Failed(reason)
	return &fill{reason: reason, err: err, took: time.Since(c.began), id: c.id, span: c.span}
}
