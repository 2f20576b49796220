package fill

import (
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// Answer is a response of the origin that may become a copy. NewAnswer makes an Answer of a response that came
// without a fill.
type Answer struct {
	Request   *Request    // the request that the response answers
	Selection http.Header // the request header fields by which its variant is selected
	Status    int
	Header    http.Header // as stored
	Verdict   policy.Verdict
	Members   []invalidation.ID
	Token     invalidation.Token // taken before the request to the origin; with EndOfWrite, after the origin's answer
	Taken     time.Time          // when Token was taken, or earlier
	// Observed is set for the answer to a request of an observed route. put stores such an answer as the origin sent
	// it, under no key but the request's, and in memory only.
	Observed bool
	// EndOfWrite is set for the answer to a write. Token is then the end of the write. The caller has checked that no
	// member of Members was invalidated while the write was at the origin. The copy does not become an alias for
	// other queries: the URLs of those have members of their own. The caller has not checked these members, and a
	// purge of one during the write stands before the token.
	EndOfWrite bool

	sent http.Header // what the origin got of the client's header
	// claim is the fill's right to fetch; put hands the claim over to the task that writes the copy to the tiers.
	// nil: the answer has no claim
	claim *store.Claim
}

// NewAnswer describes the response to a request that no fill sent. origin is the response's header as the origin sent
// it; NewAnswer does not change origin.
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

// content is the body of an Answer, with the funcs by which put makes and stores the copy.
type content struct {
	size  int64              // of the whole body, without a coding, in bytes
	copy  func() *store.Copy // makes the copy, and returns a reference; called at most once
	place func(*store.Copy)  // stores the copy; nil: put stores the copy under the request's key

	confirmed bool // the copy was confirmed, not fetched: Copy.Asked keeps its value
}

// contentOf is the content of a copy that the origin has confirmed. The caller has a reference to the copy, and keeps
// that reference.
func contentOf(c *store.Copy) content {
	return content{size: int64(c.Length()), copy: c.Hold, confirmed: true}
}

// Store stores an answer with its whole body. NoReason: the answer is stored; any other value says why not.
func (f *Filler) Store(a Answer, body []byte) policy.Reason {
	make := func() *store.Copy {
		if a.Observed {
			return store.NewCopy(a.Status, a.Header, exact(body)) // such a copy is only compared with other answers
		}
		return newCopy(a.Request.Route, a.Status, a.Request.Route.negotiated(a.Status, a.Header), body)
	}
	_, why := f.put(a, content{size: int64(len(body)), copy: make})
	return why
}

// Confirm stores base anew with the header of an answer without content that has confirmed base. NoReason: the copy
// is stored; any other value says why not. If base must not be kept any longer, Confirm drops base from key. The
// caller has a reference to base.
func (f *Filler) Confirm(a Answer, key string, base *store.Copy) policy.Reason {
	a.Header = a.Request.Route.negotiated(a.Status, a.Header)
	fresh, err := renewCopy(a.Request.Route, base, a.Header, a.Verdict.Store)
	defer fresh.Release()
	switch {
	case !a.Verdict.Store: // base is right, but must not be kept any longer (RFC 9111 §4.3.4, §3)
		f.store.Drop(key, base)
		return a.Verdict.Reason
	case err != nil:
		f.store.Drop(key, base)
		return policy.Incomplete
	}
	a.Members = union(a.Members, base.Members()) // the stored header has no surrogate keys
	_, why := f.put(a, contentOf(fresh))
	return why
}

// put stores every answer: no other way leads to a copy. The caller gets no reference to the returned copy, and may
// read all of the copy but the body. put takes these steps in this order. Each step says what would go wrong without
// the step or in another order.
//
//  1. The answer may be kept, is large enough, and does not belong to more members than a copy may.
//  2. The token was taken no longer ago than invalidation.MaxFill. The ledger keeps the mark of an invalidation
//     for that long beyond the longest life of any copy. Fill A takes its token; purge P is applied; MaxFill and
//     the longest life pass, and the ledger forgets P; A's answer comes. The ledger could not tell that the
//     answer is older than P.
//  3. An error does not replace a copy that may stand in. put asks the tiers below memory first, since the tiers
//     may have the only such copy. The end of the body repeats the check that the header made. Fill A has the
//     header of an error. Fill B, begun after a purge, stores an answer. If A stored its error at the end of its
//     body, the next request would get the error.
//  4. Retain comes before Admits. The ledger forgets marks by the longest life that Retain has told the ledger.
//     In the other order, the ledger could forget a mark that Admits has seen before the copy is stored and
//     checked against that mark.
//  5. Admits comes before the store. Admits sees every invalidation that was applied earlier. An invalidation
//     between Admits and the store may go unseen: the invalidation is later than the copy's stamp, and every use
//     of the copy checks the stamp. The same holds for the end of a write whose fence begins between Admits and
//     the store. If the fence has begun earlier, Admits refuses.
//  6. The store gets the copy under the request's key. Only then the copy becomes an alias for other queries and
//     is written to the tiers. In the other order, a request that follows the alias would find nothing, and the
//     tiers would get what memory held before. The claim goes along with the copy.
//
// The fill closes its flight after put. A request that finds no flight to join looks into the store next, and finds
// the copy.
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

// handOver takes the claim from the fill, and returns the func that releases the claim. The caller releases the claim
// only when the copy is in the shared tier. An instance that got the claim earlier would not find the copy in the
// tier, and would ask the origin.
func (a Answer) handOver() (done func(store.ClaimResult)) {
	if a.claim == nil || *a.claim == nil {
		return func(store.ClaimResult) {}
	}
	claim := *a.claim
	*a.claim = nil
	return claim.Release
}
