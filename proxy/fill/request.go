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

// Request is what a fill needs to know of the request that it is for: the storage key, the variant and the bytes to the origin
// are made from it and from nothing else. It holds nothing of a client's connection. Nobody changes it once Join, Alone or Renew
// has it.
type Request struct {
	Route   *Route
	Match   policy.Match
	Target  httpcache.Target
	Query   string      // as the origin gets it
	Key     string      // under which the answer is stored
	URLKey  string      // what of Key is that of every answer to the URL, whatever clients prefer; Key: there are no others
	Header  http.Header // the client's, for keys and members
	Forward http.Header // what the origin gets of it; selects the variant. Others may read it
	// Known are the members that are known before the answer is there; nil: they have to be worked out, or are too many. Nobody changes them.
	Known []invalidation.ID
	// Question is the key of what is asked, as Question says; empty: it is made of Key and Forward.
	Question string
	// Settled is set where Forward is all that there is to be told. Else an origin that chooses by more of what the client prefers than
	// the key has is told that as it came; see whole.
	Settled bool
	// Selected are the fields that Vary was known to name when Forward was made, which has them whole: they select the variant, whatever
	// they say.
	Selected []string
	Method   string
	Content  []byte // of the request; nil: none
	// Room is the memory that Content takes; nil: none. The caller has a reference to it as to the copies below.
	Room *store.Room

	// The caller of Join, Alone or Renew has a reference to these two; the fill takes its own.
	Base     *store.Copy // what a 304 would confirm; nil: the answer is fetched whole
	Previous *store.Copy // what was stored before, to notice changes that nothing announced; nil: nothing
	BaseKey  string      // under which Base is stored

	// Personal is set where Forward has the credentials of the one client that the fill is for.
	Personal bool
	Client   netip.Addr // whom the origin is told of; zero: nobody
	Range    string     // Range of the one client that the fill is for; empty: the answer is fetched whole
	IfRange  string     // the If-Range that came with Range

	Asker     netip.Addr     // on whose account the place at the origin is; zero: nobody's. The origin is not told
	Class     upstream.Class // of the place at the origin
	Why       policy.Reason  // labels the request to the origin
	ID        string         // X-Request-Id of the request to the origin
	MaxObject int64          // larger answers are not stored, in bytes
	Hints     bool           // whoever leads the flight wants the informational responses
	Span      *observe.Span  // of the request that needs the answer, or has set off the renewal; nil: not traced
}

// RequestIDField carries the id of one request, from a trusted proxy, to the origin, and back to the client.
const RequestIDField = "X-Request-Id"

// hold takes the references that a fill has to the copies of its request. It is called by whoever hands the request over, who has
// references: the fill may begin when that one is gone.
func (q *Request) hold() {
	q.Base.Hold()
	q.Previous.Hold()
	q.Room.Hold()
}

// release gives back what hold has taken, where no fill has begun.
func (q *Request) release() {
	q.Base.Release()
	q.Previous.Release()
	q.Room.Release()
}

// whole is Forward with what the client prefers as it came.
func (q *Request) whole() http.Header {
	h := q.Route.FillHeader(q.Header, slices.Concat(q.Route.Prefers.Preferences, q.Selected))
	if q.Content != nil {
		policy.ContentHeader(h, q.Header)
	}
	return h
}

// question is the key of what is asked.
func (q *Request) question() string {
	if q.Question != "" {
		return q.Question
	}
	return Question(q.Key, q.Forward)
}

// members is what the answer to a request belongs to, by what the request and the header of the answer say. ok is false where
// that is more than a copy may belong to.
func (q *Request) members(answer http.Header) (ids []invalidation.ID, ok bool) {
	if q.Known != nil && !q.Match.NamesMembers(answer) {
		return q.Known, true
	}
	members := q.Route.Members(&q.Match, q.Target, q.Query, q.Header, answer)
	return invalidation.IDsOf(members), len(members) <= policy.MaxMembers
}
