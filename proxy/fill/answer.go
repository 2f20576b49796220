package fill

import (
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// Answer is a response of the origin that may become a copy. NewAnswer makes those that did not come through a fill.
type Answer struct {
	Request   *Request    // whose answer it is
	Selection http.Header // the request header fields by which its variant is selected
	Status    int
	Header    http.Header // as stored
	Verdict   policy.Verdict
	Members   []invalidation.ID
	Token     invalidation.Token // taken before the origin was asked, or, with EndOfWrite, after it answered
	Taken     time.Time          // when Token was taken, or earlier
	// Observed is set for the answer to a request of an observed route. It is stored as it came, only under its own key, and in memory only.
	Observed bool
	// EndOfWrite is set for the answer to a write, whose Token is the write's end. The caller has checked that no member of Members was
	// invalidated while the write was at the origin. The copy is not made an alias for other queries: their URLs have members of their own,
	// which the caller has not checked, and a purge of these in that time stands before the token.
	EndOfWrite bool

	sent  http.Header  // what the origin got of the client's header
	claim *store.Claim // the fill's right to fetch, which goes to whoever writes the copy to the tiers; nil: the answer has none
}

// NewAnswer describes the response to a request that was not sent by a fill. origin is its header as it came, which is not changed.
func NewAnswer(q *Request, status int, origin http.Header, v policy.Verdict, token invalidation.Token, taken time.Time) Answer {
	ids, ok := q.members(origin)
	if !ok && v.Store {
		keepFrom(&v, policy.TooManyMembers)
	}
	return Answer{
		Request: q, Selection: q.Forward, sent: q.Forward, Status: status, Header: dated(q.Route.StoredHeader(origin.Clone()), v.Lifetime.Received),
		Verdict: v, Members: ids, Token: token, Taken: taken,
	}
}

// content is the body of an Answer, and how put makes and stores the copy.
type content struct {
	size  int64              // of the whole body, without a coding, in bytes
	copy  func() *store.Copy // makes the copy, and returns a reference to it; called at most once
	place func(*store.Copy)  // stores the copy; nil: it is stored under the request's key

	confirmed bool // the copy was confirmed, not fetched: what it was asked with (Copy.Asked) stays as it is
}

// contentOf is the content of a copy that the origin has confirmed. The caller has a reference to the copy, and keeps it.
func contentOf(c *store.Copy) content {
	return content{size: int64(c.Length()), copy: c.Hold, confirmed: true}
}

// Store stores an answer with its whole body, or says why not; NoReason: it is stored.
func (f *Filler) Store(a Answer, body []byte) policy.Reason {
	make := func() *store.Copy {
		if a.Observed {
			return store.NewCopy(a.Status, a.Header, exact(body)) // it is only ever compared with other answers of the origin
		}
		return newCopy(a.Request.Route, a.Status, a.Request.Route.negotiated(a.Status, a.Header), body)
	}
	_, why := f.put(a, content{size: int64(len(body)), copy: make})
	return why
}

// Confirm stores base anew with the header of an answer without content that has confirmed it, or says why not; NoReason: it is stored. If base
// must not be kept any longer, it is dropped from key. The caller has a reference to base.
func (f *Filler) Confirm(a Answer, key string, base *store.Copy) policy.Reason {
	a.Header = a.Request.Route.negotiated(a.Status, a.Header)
	fresh, err := renewCopy(a.Request.Route, base, a.Header, a.Verdict.Store)
	defer fresh.Release()
	switch {
	case !a.Verdict.Store: // the copy is still right, but by what the origin says now it must not be kept (RFC 9111 §4.3.4, §3)
		f.store.Drop(key, base)
		return a.Verdict.Reason
	case err != nil:
		f.store.Drop(key, base)
		return policy.Incomplete
	}
	a.Members = union(a.Members, base.Members()) // the stored header has no surrogate keys: the copy keeps the ones it came with
	_, why := f.put(a, contentOf(fresh))
	return why
}

// put stores every answer: there is no other way to a copy. The caller gets no reference to the returned copy, and may read all of it but the
// body. These are the steps of put, in this order, with what would go wrong without each or in another order.
//
//  1. The answer may be kept, is large enough, and does not belong to more than a copy may.
//  2. The token was taken no longer ago than invalidation.MaxFill. The ledger keeps the mark of an invalidation for that long
//     beyond the longest life of any copy. Fill A takes its token; purge P is applied; MaxFill and the longest life pass, and the
//     ledger forgets P; A's answer comes. Nothing would tell that the answer is older than P.
//  3. A copy that may stand in is not replaced by an error. The tiers below memory are asked first, since only they may have the copy.
//     This check is made at the end of the body, and not only at its beginning: fill A has the header of an error; fill B, begun after a
//     purge, stores an answer; if A stored its error now, the next request would get the error.
//  4. Retain before Admits. The ledger forgets marks by the longest life that Retain has told it. In the other order, a mark that Admits
//     has still seen might be forgotten before the copy is stored and checked against it.
//  5. Admits before the store. Admits sees an invalidation that is applied before. One that is applied between Admits and the storing
//     need not be seen: it is later than the copy's stamp, which is checked at every use. The same holds for the end of a write whose
//     fence begins in between; if the fence has begun before, Admits refuses.
//  6. The copy is stored under its key, and only then made an alias for other queries and written to the tiers. In the other order, a
//     request that follows the alias would find nothing, and the tiers would get what memory held before. The claim goes along with the
//     copy.
//
// The flight of a fill is closed after that: whoever finds no flight to join looks into the store next, and finds the copy.
func (f *Filler) put(a Answer, b content) (*store.Copy, policy.Reason) {
	q := a.Request
	switch {
	case !a.Verdict.Store:
		return nil, a.Verdict.Reason
	case b.size < q.Route.StoreIf.MinBytes:
		return nil, policy.TooSmall
	case len(a.Members) > policy.MaxMembers:
		return nil, policy.TooManyMembers
	case time.Since(a.Taken) > invalidation.MaxFill:
		return nil, policy.Outdated
	}
	keepsStandIn := f.keepsStandInBelow
	if a.Observed {
		keepsStandIn = f.keepsStandIn
	}
	if keepsStandIn(a.Status, q.Route, q.Key, a.Selection) {
		return nil, policy.OriginStatus
	}
	copied := b.copy()
	defer copied.Release()
	copied.SetLife(a.Verdict.Lifetime)
	copied.SetVary(a.Verdict.Vary)
	copied.SetMembers(a.Members)
	if !b.confirmed {
		copied.SetAsked(httpcache.Negotiation(a.sent))
	}
	copied.Stamp.Set(a.Token)
	f.ledger.Retain(copied.Life().Retention())
	if !f.ledger.Admits(a.Token, a.Members) {
		return nil, policy.Outdated
	}
	if b.place != nil {
		b.place(copied)
		return copied, policy.NoReason
	}
	f.store.Put(q.Key, a.Selection, copied)
	f.amongVariants(q, a.Selection, copied)
	if f.store.Marks() {
		f.store.Unmark(q.question())
	}
	if !a.Observed && !a.EndOfWrite {
		f.alias(q, copied)
	}
	if !a.Observed {
		f.tiers.write(q.Route, q.Key, a.Selection, a.handOver())
	}
	return copied, policy.NoReason
}

// handOver takes the claim from the fill, and returns the func that releases it. The claim is released only when the copy is in the shared tier:
// an instance that got the claim before would not find the copy there, and would ask the origin.
func (a Answer) handOver() (done func(store.ClaimResult)) {
	if a.claim == nil || *a.claim == nil {
		return func(store.ClaimResult) {}
	}
	claim := *a.claim
	*a.claim = nil
	return claim.Release
}
