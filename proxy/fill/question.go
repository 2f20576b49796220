package fill

import (
	"net/http"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
	"cacheproxy/store"
)

// The question of a fill is its storage key and the header fields that the fill forwards, without the trace. An
// origin's answer is known to be the answer to that question, and to no other. If the origin refuses one client
// because of its Accept, nothing follows for the next client with the same key. So a mark of an answer (that the
// answer could not be shared, that the resource is gone) holds only for requests with the same question. If the
// origin was asked a second time with all that the client prefers, the mark holds for requests with the first
// question.

// questionMark ends the keys of questions. No storage key is a prefix of another.
const questionMark = 'q'

// Question is the key of a fill's question, from the storage key and the forwarded header. Marks are stored under
// this key, and no copies.
func Question(key string, forward http.Header) string {
	names := make([]string, 0, len(forward))
	for name := range forward {
		if !httpcache.IsTrace(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return string(append(httpcache.VariantKey(nil, key, names, forward), questionMark))
}

// sharelessFor is how long the mark of an answer that could not be shared lasts (hit-for-miss).
const sharelessFor = time.Minute

// markShareless marks that the answer to a question is not to be shared. lasting is as in store.Mark.
func (c *running) markShareless(res Response, why policy.Reason, lasting bool) {
	members := res.Members
	if len(members) > policy.MaxMembers {
		members = c.flight.known
	}
	m := &store.Mark{Until: time.Now().Add(sharelessFor), Why: why, Members: members, Lasting: lasting, Whole: c.whole}
	m.Stamp.Set(res.Token)
	c.f.ledger.Retain(sharelessFor)
	c.f.store.Mark(c.q.question(), m)
}

// Shareless is the reason why the last answer to a question was not to be shared. NoReason: the question has no mark,
// or something has ended the mark. lasting says that requests that are sent through cannot end the mark.
func (f *Filler) Shareless(question string, now time.Time) (why policy.Reason, lasting bool) {
	if m := f.store.Marked(question, f.ledger, now); m != nil {
		return m.Why, m.Lasting
	}
	return policy.NoReason, false
}

// answeredWhole reports whether the last answer to a fill's question could not be shared, and came only when the
// origin knew all that the client prefers. The next fill then sends all preferences at once.
func (f *Filler) answeredWhole(q *Request) bool {
	if q.Settled || len(q.Route.Prefers.Preferences) == 0 || !f.store.Marks() {
		return false
	}
	m := f.store.Marked(q.question(), f.ledger, time.Now())
	return m != nil && m.Whole
}

// EndShareless forgets that the last answer was not to be shared. The caller has got an answer that may be shared.
func (f *Filler) EndShareless(question string) { f.store.Unmark(question) }

// contradict drops the copy of this fill's question after the origin has answered the same question with an answer
// that cannot be shared: the origin does not answer with that copy any more. Copies of other questions stay, and so
// does a copy whose token is later.
func (c *running) contradict(token invalidation.Token) {
	q := c.q
	found := c.f.store.Lookup(q.Key, c.sent, time.Now(), q.Route.SelectingUnlisted()...)
	defer found.Release()
	if found.Copy != nil && found.Copy.Asked() == httpcache.Negotiation(c.sent) && !token.Before(found.Copy.Stamp.Token()) {
		c.f.store.Drop(found.Key, found.Copy)
	}
}

// spares reports whether a renewal in the background has brought an error, or an answer that is not stored, while the
// copy is still fresh. The copy then stays until its lifetime is over.
func (c *running) spares(status int, store bool) bool {
	if c.q.Why != policy.Renewal || c.previous == nil || store && status < http.StatusBadRequest {
		return false
	}
	use, _ := c.q.Route.Usable(c.previous, c.f.ledger, time.Now())
	return use == httpcache.Fresh
}
