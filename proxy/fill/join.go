package fill

import (
	"context"
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Joiner is a request that wants to share a flight.
type Joiner struct {
	Key        string            // of the flight
	Known      []invalidation.ID // members of the answer that are known beforehand
	MaxWaiters int               // how many requests may wait for one flight
	// LeaseLost is set if invalidations that concern the request may be unknown on this instance. The request then
	// shares only a flight that is sent to the origin after the request came.
	LeaseLost bool
}

// Role is the part of a request in a flight.
type Role uint8

const (
	// Leads: the request has started the flight. The zero value.
	Leads Role = iota
	// Joined: the request waits for the answer, or follows the body.
	Joined
	// Full: too many requests wait already, and this request has no part in the flight.
	Full
	// AlreadyStored: a copy has come since the request looked. The request fetches nothing.
	AlreadyStored
)

// Ticket is a request's place in a flight.
type Ticket struct {
	Role Role

	filler   *Filler
	flight   *flight       // nil: the request has no part in a flight
	response *Response     // never changes; nil: the header of the answer has not come yet
	result   <-chan result // carries the Response, once; nil: response is set, or flight is nil
	hints    <-chan hint   // nil: the request gets no informational responses
}

// Join joins the flight of a key, or leads a new flight. As leader, Join calls prepare once, on the caller's
// goroutine, when the flight is open and others may have joined. prepare must look into the store again, and return
// the request to be fetched. nil: the store has a usable copy.
func (f *Filler) Join(j Joiner, prepare func() *Request) Ticket {
	t, lead := f.flights.join(j)
	t.filler = f
	if lead == nil {
		return t
	}
	var q *Request
	results := make(chan result, 1)
	// The requests that have joined wait for q. If prepare panics, q is nil, and they look into the store again.
	defer func() {
		lead <- q
		f.tasks.spawn(func() { f.flights.ask(t.flight, results) })
	}()
	if q = prepare(); q == nil {
		return Ticket{Role: AlreadyStored, filler: f}
	}
	q.hold()
	t.hints, t.result = t.flight.hinted(q), results
	return t
}

// Alone fetches for one request only. The fill ends with ctx; the answer may still be stored. key and known are as in
// Joiner.
func (f *Filler) Alone(ctx context.Context, key string, known []invalidation.ID, q *Request) Ticket {
	t, results := f.flights.alone(key, known)
	q.hold()
	t.filler, t.hints = f, t.flight.hinted(q)
	f.tasks.spawn(func() {
		res := f.fill(t.flight, q, ctx)
		results <- result{Val: &res}
	})
	return t
}

// start fetches the request of a flight's leader. If the leader wants nothing any more (q is nil), start ends the
// flight with Again.
func (f *Filler) start(of *flight, q *Request) Response {
	if q == nil {
		res := Response{Again: true}
		of.publish(res, false)
		return res
	}
	return f.fill(of, q, nil)
}

// Await waits for the header of the answer, and calls inform with the informational responses before that header.
// lead is the reader of the leading request, which must detach the reader. lead is nil for other requests, and if the
// answer has no body. why is NoReason if res is set, ClientGone if ctx has ended, and WaitTimeout if the request has
// joined and patience is over. Await must be called once.
func (t *Ticket) Await(ctx context.Context, patience time.Duration, inform func(status int, h http.Header)) (res Response, lead *Reader, why policy.Reason) {
	if t.response != nil {
		return *t.response, nil, policy.NoReason
	}
	var timeout <-chan time.Time
	if t.Role == Joined {
		defer t.flight.leave()
		timer := time.NewTimer(patience)
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		select {
		case h := <-t.hints:
			inform(h.status, h.header)
		case r := <-t.result:
			t.informAll(inform)
			if res = responseOf(r); t.Role == Leads {
				lead = res.lead
			}
			return res, lead, policy.NoReason
		case <-ctx.Done():
			return Response{}, nil, policy.ClientGone
		case <-timeout:
			return Response{}, nil, policy.WaitTimeout
		}
	}
}

// informAll calls inform with the informational responses that are still in the channel when the answer has come.
func (t *Ticket) informAll(inform func(status int, h http.Header)) {
	for {
		select {
		case h := <-t.hints:
			inform(h.status, h.header)
		default:
			return
		}
	}
}

// Abandon must be called if Await has returned ClientGone. If the request leads, Abandon detaches its reader when the
// answer comes. That ends an answer that no other request shares. The fetch itself ends if no request waits for the
// answer and too many such fetches are under way (orphaned).
func (t *Ticket) Abandon() {
	if t.Role != Leads {
		return
	}
	t.flight.desert()
	t.filler.tasks.Go(func() {
		if res := responseOf(<-t.result); res.lead != nil {
			res.lead.Detach()
		}
	})
}

// joinable reports whether a request that arrives now may share f: no member of f was invalidated since f's token.
// late is set if invalidations may be unknown, because the lease is lost. late is also set if a write to the resource
// of the request is under way. In that case, f may have been at the origin before the write, and another client may
// have read the result of the write before this request came. With late, only a flight that is not yet sent may be
// shared. The caller holds the lock of the shard.
func (fs *flights) joinable(f *flight, late bool) bool {
	switch {
	case late:
		return !f.sent
	case f.published:
		return !fs.ledger.Since(f.token, f.response.Members)
	case f.sent:
		return !fs.ledger.Since(f.token, f.known)
	default:
		return true
	}
}
