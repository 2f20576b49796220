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
	MaxWaiters int               // of those who wait for one flight
	// LeaseLost is set where an invalidation that the request must heed may not be known here. It shares only what is sent to
	// the origin after it came, and waits its turn for that.
	LeaseLost bool
}

// Role is what a request is to a flight.
type Role uint8

const (
	// Leads: the request has started the flight. The zero value.
	Leads Role = iota
	// Joined: the request waits for the answer, or follows its body.
	Joined
	// Full: too many wait already, and the request has no part in the flight.
	Full
	// AlreadyStored: there is a copy that has come since the request looked, and no flight.
	AlreadyStored
)

// Ticket is a request's place in a flight.
type Ticket struct {
	Role Role

	filler   *Filler
	flight   *flight       // nil: the request has no part in one
	response *Response     // which nobody changes; nil: the header of the answer is not there yet
	result   <-chan result // carries the Response, once; nil: there is one already
	hints    <-chan hint   // nil: the request gets none
}

// Join joins the flight of a key, or leads a new one. In that case prepare is called once, on the caller's goroutine, when the
// flight is open and others may have joined it: it looks whether a copy has come since the caller looked last, and returns the
// request to be fetched, or nil where there is such a copy.
func (f *Filler) Join(j Joiner, prepare func() *Request) Ticket {
	t, lead := f.flights.join(j)
	t.filler = f
	if lead == nil {
		return t
	}
	var q *Request
	results := make(chan result, 1)
	// Those who have joined wait for it, also when prepare panics: then they look again.
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

// Alone fetches for one request, with which the fill ends; what comes may still be stored. The key and the known members are
// those of a Joiner.
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

// start fetches what a flight's leader wants, or ends the flight where it wants nothing any more.
func (f *Filler) start(of *flight, q *Request) Response {
	if q == nil {
		res := Response{Again: true}
		of.publish(res, false)
		return res
	}
	return f.fill(of, q, nil)
}

// Await waits for the header of the answer, and hands over the informational responses that come before. Lead is the reader of
// the request that leads, which must detach it; nil for others, and where there is no body. Why says why there was no waiting any
// longer: ClientGone where ctx has ended, or WaitTimeout where the request has joined and patience is over.
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

// informAll hands over what has come together with the answer.
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

// Abandon gives up the place of a request that did not wait for its answer. An answer that nobody shares ends with it, and so
// does the fetch where the upstream has too many of which nobody waits for the answer.
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

// joinable reports whether a request that arrives now may share f: nothing that concerns it was invalidated since its token, and
// it is known that nothing was. Late is set where that is not known, or a write to what the request asks for is under way: f may have been
// at the origin before the write was, and somebody may have read elsewhere what the write has put there before this request came. The
// caller holds the lock of the shard.
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
