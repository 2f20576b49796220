package fill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// running is one fill at work. One goroutine has it at a time, so that its fields need no lock: that of the flight up to the header
// of the answer, then the one that fetches a body that is not at hand, which is started when the first has done its last with it. Only ctx is for all:
// the deadline, the one client of the fill and the last reader of a body end it from their own goroutines.
type running struct {
	f        *Filler
	flight   *flight
	q        *Request
	alone    bool // the fill serves one client only, and ends with it
	ctx      context.Context
	cancel   context.CancelCauseFunc
	deadline *time.Timer
	unbind   func() bool // lets the fill outlive its one client; nil: it has none
	began    time.Time
	span     *observe.Span

	sent     http.Header // what the origin gets of the client's header: Forward of the request, or its whole
	whole    bool        // it is its whole
	base     *store.Copy // what a 304 would confirm; nil: nothing, or nothing any more
	baseKey  string
	previous *store.Copy
	room     *store.Room    // the reference of this fill to the room of its request's content; nil: none, or given back
	held     []*store.Copy  // the references of this fill, which end gives back: base, previous and missing are among them
	few      [4]*store.Copy // the place for those of most fills
	missing  *missing       // what lacks of the answer, where the rest is stored; nil: the answer is fetched whole
	claim    store.Claim    // the right to fetch for all instances; nil: not this one, or not any more

	// Of the request that was sent last.
	taken time.Time // when token was
	token invalidation.Token
	slot  *upstream.Slot
	resp  *http.Response

	part *httpcache.PartOf // the part that came and may be kept; nil: the answer is a whole, or none
}

// fill fetches an answer up to its header and leaves a goroutine that fetches the rest. only is the context of the one client
// that the fill is for; nil: it is for whoever joins.
func (f *Filler) fill(of *flight, q *Request, only context.Context) (res Response) {
	if !f.tasks.begin() {
		q.release()
		res = Response{Reason: policy.OriginError, Forward: q.Forward, Err: errors.New("fetch from upstream: the proxy is closed")}
		of.publish(res, false)
		return res
	}
	defer f.tasks.end()
	ctx, cancel := context.WithCancelCause(f.lifetime)
	c := &running{
		f: f, flight: of, q: q, alone: only != nil, ctx: ctx, cancel: cancel, began: time.Now(), span: f.trace(q),
		sent: q.Forward, base: q.Base, baseKey: q.BaseKey, previous: q.Previous, room: q.Room,
	}
	c.held = append(c.few[:0], q.Base, q.Previous)
	defer func() {
		if err := c.panicked(recover()); err != nil {
			res = Response{Reason: policy.Panic, Forward: q.Forward, Err: err}
			c.release()
			of.publish(res, false)
			c.end()
		}
	}()
	if f.answeredWhole(q) {
		c.sent, c.whole = q.whole(), true
	}
	of.begin(c)
	c.deadline = time.AfterFunc(fillDeadline, func() { cancel(context.DeadlineExceeded) })
	if only != nil {
		c.unbind = context.AfterFunc(only, func() { cancel(context.Cause(only)) })
	}
	res = c.run()
	if res.Reason != policy.NoReason {
		of.publish(res, false)
		c.end()
	}
	return res
}

// panicked tells of a defect, which is the end of this fill and of nothing else. It is nil when there was none.
func (c *running) panicked(v any) error {
	if v == nil {
		return nil
	}
	c.f.logger.Error("fill panicked", "route", c.q.Route.Name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	return fmt.Errorf("fill: panic: %v", v)
}

// release gives back the place at the origin that a panic has left behind: without it, each defect would cost the origin's limit a
// place for ever.
func (c *running) release() {
	if c.resp != nil {
		c.resp.Body.Close()
	}
	if c.slot != nil {
		c.slot.Release()
	}
}

// end lets go of all that a fill holds. A claim that nobody has taken over by then is free for others.
func (c *running) end() {
	c.flight.shard.mu.Lock()
	adopted := c.flight.adopted
	c.flight.adopted = false // and it does not become so again: it is published
	c.flight.shard.mu.Unlock()
	if adopted {
		c.q.Route.Origin.Disown()
	}
	c.deadline.Stop()
	if c.unbind != nil {
		c.unbind()
	}
	c.disclaim(store.Vacant)
	c.letGo()
	c.cancel(nil)
	c.span.End()
}

// letGo gives back the references of the fill, each once, also where it is called again after a panic in it.
func (c *running) letGo() {
	room := c.room
	c.room = nil
	room.Release()
	for len(c.held) > 0 {
		last := c.held[len(c.held)-1]
		c.held = c.held[:len(c.held)-1]
		last.Release()
	}
}

// run asks the origin until its answer is one to what was asked for: once, once more without the part that is there already, once
// more with all that the client prefers, and once more without the copy that was to be confirmed.
func (c *running) run() Response {
	if res, found := c.lookupTiers(); found {
		return res
	}
	if c.base == nil && c.q.Range == "" {
		c.missing = c.lookupMissing()
	}
	requested := time.Now()
	resp, err := c.roundTrip()
	if err == nil && c.missing != nil && c.missing.declines(resp) {
		// It is a part of something else, or 416 because there is less now.
		resp.Body.Close()
		c.missing, requested = nil, time.Now()
		resp, err = c.roundTrip()
	}
	if err == nil && c.answersOther(resp) {
		drain(resp)
		c.sent, c.whole, requested = c.q.whole(), true, time.Now()
		resp, err = c.roundTrip()
	}
	if err == nil && resp.StatusCode == http.StatusNotModified && c.base != nil && !httpcache.ConfirmsStored(c.base.Header(), resp.Header) {
		// It confirms something else than what is stored: fetch the answer whole.
		drain(resp)
		c.base, requested = nil, time.Now()
		resp, err = c.roundTrip()
	}
	if err != nil {
		return c.failed(err)
	}
	if resp.StatusCode == http.StatusNotModified && c.base == nil {
		drain(resp)
		return c.failed(errors.New("fetch response: the origin answered 304 to an unconditional request"))
	}
	return c.receiveHeader(resp, requested)
}

// answersOther reports whether an answer goes by more of what the client prefers than the origin was told. Fields that its Vary names
// are told whole from the next fill of the route on.
func (c *running) answersOther(resp *http.Response) bool {
	if c.q.Settled || c.whole {
		return false
	}
	named, again := c.q.Route.Prefers.Whole(c.sent, c.q.whole, resp.StatusCode, resp.Header)
	c.q.Route.Learn(named)
	return again
}

func (c *running) failed(err error) Response {
	if cause := context.Cause(c.ctx); cause != nil && c.ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return c.refused(upstream.Classify(err), err)
}

// refused is the end of a fill without an answer.
func (c *running) refused(reason policy.Reason, err error) Response {
	c.releaseUnshared()
	c.span.Failed(reason)
	return Response{Reason: reason, Err: err, Forward: c.sent, Took: time.Since(c.began), ID: c.q.ID, Span: c.span}
}
