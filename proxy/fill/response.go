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

// Response is an answer of the origin up to its header, as the requests that share the answer see that header.
// Response is passed by value: the response that a flight has published is a value of its own, which the fill that
// goes on cannot change. All holders of a Response read its maps and slices, and nobody writes them. The body grows
// after the Response is published, and has a lock of its own.
type Response struct {
	Status  int
	Length  int64       // of the body, in bytes; -1: not known
	Header  http.Header // as stored and delivered
	Age     []string    // as the origin sent the field
	Verdict policy.Verdict
	Members []invalidation.ID // the members of the answer
	Token   invalidation.Token
	Forward http.Header // the part of the request's header that the origin got; selects the variant
	// Confirmed is the copy that a 304 renewed; nil: the answer came whole. The body of Confirmed may be read as long
	// as a Reader is attached
	Confirmed *store.Copy
	Ranged    bool // the request asked for a part
	Completed bool // only the part came that the store lacked; the origin's status is 206
	Stored    bool // Confirmed was stored
	Spared    bool // the answer came for a copy that is still fresh, and does not replace the copy
	Took      time.Duration
	Address   string // of the origin, as host and port; empty: the origin did not answer
	ID        string // the X-Request-Id that the origin saw: the fill's own
	Span      *observe.Span

	// Again says that nothing was fetched, because a fresh copy may have come or may come soon. Each waiting request
	// looks into the store again.
	Again bool

	Reason policy.Reason // why no answer came; NoReason: the origin answered
	Err    error         // the error behind Reason; nil where Reason is NoReason

	body *body   // nil: no answer came, or nobody may have the body
	lead *Reader // of the request that leads the flight
}

// Attach starts a reader at the beginning of the body. ok is false when the beginning is gone. The reader is nil if
// the response has no body.
func (r *Response) Attach() (reader *Reader, ok bool) {
	if r.body == nil {
		return nil, true
	}
	return r.body.attach()
}

// lost is the answer of a flight whose result has no Response, which would be a bug.
func lost() Response {
	return Response{Reason: policy.Panic, Err: errors.New("join flight: it has no answer")}
}
