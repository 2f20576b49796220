package fill

import (
	"net/http"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// Answer is an answer of the origin that may become a copy. Answers that come by another way than a fill are made by NewAnswer.
type Answer struct {
	Request   *Request    // whose answer it is
	Selection http.Header // the request header fields by which its variant is selected
	Status    int
	Header    http.Header // as stored
	Verdict   policy.Verdict
	Members   []invalidation.ID
	Token     invalidation.Token // taken before the origin was asked, or, with EndOfWrite, after it answered
	Taken     time.Time          // when Token was, or earlier
	// Observed is set for what an observed route has seen. It is stored as it came, is found by nothing but its own key, and
	// stays in memory.
	Observed bool
	// EndOfWrite is set for the answer to a write, whose Token is the write's end. The caller has asked the ledger what was
	// invalidated while the write was at the origin, about Members. No other query finds the copy: its URL has members of its own, and
	// one that was purged in that time stands before the token, which could not tell any more.
	EndOfWrite bool

	sent  http.Header  // what the origin got of the client's header
	claim *store.Claim // the fill's right to fetch, which goes to whoever writes the copy to the tiers; nil: the answer has none
}

// NewAnswer describes the answer to a request that came by another way than a fill. Origin is its header as it came, of which the
// caller's is not changed.
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

// content is what there is of an answer.
type content struct {
	size  int64              // of the whole, without a coding
	copy  func() *store.Copy // makes the copy, and gives a reference to it; called once, if at all
	place func(*store.Copy)  // stores it by other means than under the key of the request; nil: there are none

	confirmed bool // it is what was asked for when the copy was fetched, whatever the request asks that has it confirmed
}

// contentOf is that of a copy that was confirmed, and is made already. The caller has a reference to it, and keeps it.
func contentOf(c *store.Copy) content {
	return content{size: int64(c.Length()), copy: c.Hold, confirmed: true}
}

// Store stores an answer that is whole, or says why not.
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

// Confirm stores the copy that an answer without content renews, or says why not. The caller has a reference to base. What was
// stored under key is dropped where it must not be kept any longer.
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

// put is the one way to a copy: every answer is stored by it. Of the copy that it returns, to which the caller has no reference, all
// but the body may be read. These are its steps, in this order, and what would go wrong without each or in another order.
//
//  1. The answer may be kept, is large enough, and does not belong to more than a copy may.
//  2. The token was taken no longer ago than invalidation.MaxFill. The ledger keeps the mark of an invalidation for that long
//     beyond the longest life of any copy. Fill A takes its token; purge P is applied; MaxFill and the longest life pass, and the
//     ledger forgets P; A's answer comes. Nothing would tell that it is older than P.
//  3. A copy that may stand in is not replaced by an error. The tiers below memory are asked first: the copy may be there alone.
//     This is asked at the end of the body, and not only at its beginning: fill A has an error's header; fill B, begun after a
//     purge, stores an answer; A, stored now, would be what the next request gets.
//  4. Retain before Admits. The ledger forgets marks by the longest life that it was told. Asked the other way round, a mark that
//     Admits still saw might be forgotten before the copy is there to be checked against it.
//  5. Admits before put. An invalidation that is applied before is seen here. One that is applied between Admits and put is not,
//     and needs not be: it stands after the copy's stamp, which the ledger is asked about at every use. So does the end of a write
//     whose fence went up in between; where the fence stands already, Admits refuses.
//  6. The copy is put under the key, and then is found by other queries and written to the tiers. In another order, one who
//     follows an alias would find nothing, and the tiers would be given what memory held before. The claim goes along with the
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

// handOver takes the claim from the fill: it is given back when the copy is where the other instances find it, and not before. An
// instance that claims in between would find nothing there, and ask the origin.
func (a Answer) handOver() (done func(store.ClaimResult)) {
	if a.claim == nil || *a.claim == nil {
		return func(store.ClaimResult) {}
	}
	claim := *a.claim
	*a.claim = nil
	return claim.Release
}
