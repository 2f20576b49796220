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

// fillDeadline bounds a fill from its start to its last byte. fillDeadline is less than invalidation.MaxFill.
const fillDeadline = 5 * time.Minute

// running is one fill. Its fields need no lock, since one goroutine at a time uses them. Up to the header of the
// answer, that is the goroutine of the flight. If the body is not at hand, the next is the goroutine that fetches the
// body; the first goroutine starts the second as its last step. Only ctx is ended from other goroutines: by the
// deadline, by the single client of the fill, by the last reader of the body, by the last request that leaves the
// flight (orphaned), and by Close.
type running struct {
	f        *Filler
	flight   *flight
	q        *Request
	alone    bool // the fill serves one client only, and ends with that client
	ctx      context.Context
	cancel   context.CancelCauseFunc
	deadline *time.Timer
	unbind   func() bool // lets the fill outlive its one client; nil: the fill has no such client
	began    time.Time
	span     *observe.Span

	sent     http.Header // the part of the client's header that the origin gets: q.Forward, or q.whole()
	whole    bool        // sent is q.whole()
	base     *store.Copy // the copy that a 304 would confirm; nil: none, or none any more
	baseKey  string
	previous *store.Copy
	room     *store.Room // the fill's reference to the room of the request's content; nil: none, or given back
	// held is the references of this fill, which letGo releases; base, previous and missing.of.Of are among them
	held    []*store.Copy
	few     [4]*store.Copy // array of held for most fills
	missing *missing       // the part to fetch, if the rest of the answer is stored; nil: the answer is fetched whole
	claim   store.Claim    // the right to fetch for all instances; nil: not held, or not any more

	// Of the latest request to the origin.
	taken time.Time // just before the token was taken
	token invalidation.Token
	slot  *upstream.Slot
	resp  *http.Response

	part *httpcache.PartOf // the part that came and may be kept; nil: the answer is a whole, or none came
}

// fill fetches an answer up to its header, and starts a goroutine that fetches a body that is not at hand. only is
// the context of the single client that the fill is for; nil: the fill is for all requests that join.
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

// panicked logs the value of a recovered panic, which ends only this fill, and returns the value as an error; nil: v
// is nil.
func (c *running) panicked(v any) error {
	if v == nil {
		return nil
	}
	c.f.logger.Error("fill panicked", "route", c.q.Route.Name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	return fmt.Errorf("fill: panic: %v", v)
}

// release gives back the place at the origin after a panic. Without release, each panic would take one place from the
// origin's limit for good.
func (c *running) release() {
	if c.resp != nil {
		c.resp.Body.Close()
	}
	if c.slot != nil {
		c.slot.Release()
	}
}

// end releases everything that the fill holds. A claim that was not handed over by then is released as Vacant.
func (c *running) end() {
	c.flight.shard.mu.Lock()
	adopted := c.flight.adopted
	c.flight.adopted = false // orphaned does not set adopted again: the flight is published
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

// letGo releases the references of the fill, each once, even if letGo is called again after a panic.
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

// run asks the tiers and then the origin. run asks the origin again, at most once for each of three reasons. The
// origin does not send the missing part. The answer depends on more of the client's preferences than the origin was
// told. The 304 is not about the base.
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
		// The response is a part of another version, or 416 because the resource is shorter.
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
		// The 304 is about another version than the stored copy: fetch the answer whole.
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

// answersOther reports whether an answer depends on more of the client's preferences than the origin was told. Later
// fills of the route send whole the fields that the answer's Vary names.
func (c *running) answersOther(resp *http.Response) bool {
	if c.q.Settled || c.whole {
		return false
	}
	named, again := c.q.Route.Prefers.Whole(c.sent, c.q.whole, resp.StatusCode, resp.Header)
	c.q.Route.Learn(named)
	return again
}

// failed ends the fill with the error of a step. If the fill's context has ended, the error includes the cause.
func (c *running) failed(err error) Response {
	if cause := context.Cause(c.ctx); cause != nil && c.ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return c.refused(upstream.Classify(err), err)
}

// refused ends the fill without an answer.
func (c *running) refused(reason policy.Reason, err error) Response {
	c.releaseUnshared()
	c.span.Failed(reason)
	return Response{Reason: reason, Err: err, Forward: c.sent, Took: time.Since(c.began), ID: c.q.ID, Span: c.span}
}
