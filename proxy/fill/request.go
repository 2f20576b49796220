package fill

import (
	"net/http"
	"net/netip"
	"slices"

	"cacheproxy/invalidation"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
)

// Request is all that a fill knows of the request that the fill is for. The storage key, the variant and the bytes to
// the origin are made from Request and from nothing else. Request has no part of a client's connection. Nobody
// changes a Request once Join, Alone or Renew has the Request.
type Request struct {
	Route  *Route
	Match  policy.Match
	Target httpcache.Target
	Query  string // as the origin gets the query
	Key    string // under which the answer is stored
	// URLKey is the part of Key that all answers to the URL have, whatever clients prefer; equal to Key: no
	// preference is in the key
	URLKey  string
	Header  http.Header // the client's, for keys and members
	Forward http.Header // the part that the origin gets; selects the variant. Others may read Forward
	// Known are the members that are known before the answer; nil: the fill has to work them out, or they are too
	// many. Nobody changes the list.
	Known []invalidation.ID
	// Question is the key of the fill's question, made by the func Question; empty: the fill makes the key from Key
	// and Forward.
	Question string
	// Settled is set where Forward says all that the origin may learn of the client's preferences. Without Settled,
	// an origin may choose by more of the preferences than the key has. Such an origin gets the preferences as the
	// client sent them; see whole.
	Settled bool
	// Selected are the fields that Vary was known to name when Forward was made. Forward has these fields whole: they
	// select the variant, whatever their values.
	Selected []string
	Method   string
	Content  []byte // of the request; nil: none
	// Room is the memory that Content takes; nil: none. The caller has a reference to Room as to the copies below.
	Room *store.Room

	// The caller of Join, Alone or Renew has a reference to these two; the fill takes its own.
	Base     *store.Copy // the copy that a 304 would confirm; nil: the answer is fetched whole
	Previous *store.Copy // the copy stored before, to notice unannounced changes; nil: none
	BaseKey  string      // under which Base is stored

	// Personal is set where Forward has the credentials of the one client that the fill is for.
	Personal bool
	Client   netip.Addr // the client that the origin is told of; zero: none
	Range    string     // Range of the one client that the fill is for; empty: the answer is fetched whole
	IfRange  string     // the If-Range that came with Range

	Asker     netip.Addr     // the client that the place at the origin is charged to; zero: none. The origin is not told
	Class     upstream.Class // of the place at the origin
	Why       policy.Reason  // labels the request to the origin
	ID        string         // X-Request-Id of the request to the origin
	MaxObject int64          // larger answers are not stored, in bytes
	Hints     bool           // informational responses are wanted if the request leads
	Span      *observe.Span  // of the request that needs the answer, or has set off the renewal; nil: not traced
}

// RequestIDField carries the id of one request, from a trusted proxy, to the origin, and back to the client.
const RequestIDField = "X-Request-Id"

// hold takes the references that a fill has to the copies of its request, and to Room. The goroutine that hands the
// request over calls hold while its own references last: the fill may begin after these are released.
func (q *Request) hold() {
	q.Base.Hold()
	q.Previous.Hold()
	q.Room.Hold()
}

// release gives back the references that hold has taken, if no fill has begun.
func (q *Request) release() {
	q.Base.Release()
	q.Previous.Release()
	q.Room.Release()
}

// whole is Forward with the preferences as the client sent them.
func (q *Request) whole() http.Header {
	h := q.Route.FillHeader(q.Header, slices.Concat(q.Route.Prefers.Preferences, q.Selected))
	if q.Content != nil {
		policy.ContentHeader(h, q.Header)
	}
	return h
}

// question is the key of the fill's question.
func (q *Request) question() string {
	if q.Question != "" {
		return q.Question
	}
	return Question(q.Key, q.Forward)
}

// members is the members of the answer to a request, by the request and the header of the answer. ok is false if they
// are more than policy.MaxMembers.
func (q *Request) members(answer http.Header) (ids []invalidation.ID, ok bool) {
	if q.Known != nil && !q.Match.NamesMembers(answer) {
		return q.Known, true
	}
	members := q.Route.Members(&q.Match, q.Target, q.Query, q.Header, answer)
	return invalidation.IDsOf(members), len(members) <= policy.MaxMembers
}
