package fill

import (
	"errors"
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/store"
)

// Response is an answer of the origin up to its header, as the requests that share it see it. It is passed by value: what a
// flight has published is a copy of its own, which the fill that goes on cannot change. The maps and slices in it are read by
// all who have one and written by nobody. The body grows behind it and has a lock of its own.
type Response struct {
	Status    int
	Length    int64       // of the body; -1: not known
	Header    http.Header // as stored and delivered
	Age       []string    // as the origin sent it
	Verdict   policy.Verdict
	Members   []invalidation.ID // what the answer belongs to
	Token     invalidation.Token
	Forward   http.Header // what the origin got of the request's header; selects the variant
	Confirmed *store.Copy // the copy that a 304 renewed; nil: the answer came whole. Its body may be read as long as a Reader is attached
	Ranged    bool        // a part was asked for
	Completed bool        // only the part came that was missing of what is stored; the origin's status is 206
	Stored    bool        // Confirmed was stored
	Spared    bool        // it came for a copy that is fresh, whose place it does not take
	Took      time.Duration
	Address   string // from which the origin answered; empty: it did not
	ID        string // the X-Request-Id that the origin saw: the fill's own
	Span      *observe.Span

	// Again says that nothing was fetched, because there may be a fresh copy now or soon: whoever waits looks again.
	Again bool

	Reason policy.Reason // why there is no answer; NoReason: there is one
	Err    error         // what came in the way; nil where Reason is NoReason

	body *body   // nil: there is no answer, or nobody may have it
	lead *Reader // of the request that leads the flight
}

// Attach starts a reader at the beginning of the body. ok is false when the beginning is gone. The reader is nil where there
// is no body.
func (r *Response) Attach() (reader *Reader, ok bool) {
	if r.body == nil {
		return nil, true
	}
	return r.body.attach()
}

// lost is the answer of a flight that ended in a way that cannot be.
func lost() Response {
	return Response{Reason: policy.Panic, Err: errors.New("join flight: it has no answer")}
}
