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

// The question of a fill is its storage key and the header fields that it forwards, without the trace. An origin's answer is known to be the answer to
// that question, and to no other: if it refuses one client because of its Accept, nothing follows for the next client with the same key. So what
// is remembered of an answer besides a copy (that it could not be shared, that the resource is gone) holds only for requests with the same
// question. If the origin was asked twice, the second time with all that the client prefers, it holds for requests with the first question.

// questionMark ends the keys of questions. No storage key is a prefix of another.
const questionMark = 'q'

// Question is the key of a fill's question, given the storage key and the header that it forwards. Marks are stored under it, and no copies.
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

// sharelessFor is how long an answer that could not be shared is remembered (hit-for-miss).
const sharelessFor = time.Minute

// markShareless remembers that the answer to a question is not to be shared. lasting is as in store.Mark.
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

// Shareless says why the last answer to a question was not to be shared, if that is remembered and nothing has ended it. lasting says
// that requests that are sent through cannot end it.
func (f *Filler) Shareless(question string, now time.Time) (why policy.Reason, lasting bool) {
	if m := f.store.Marked(question, f.ledger, now); m != nil {
		return m.Why, m.Lasting
	}
	return policy.NoReason, false
}

// answeredWhole reports whether the last answer to a fill's question could not be shared, and came only when the origin was told all that the client
// prefers. The next fill then tells it that at once.
func (f *Filler) answeredWhole(q *Request) bool {
	if q.Settled || len(q.Route.Prefers.Preferences) == 0 || !f.store.Marks() {
		return false
	}
	m := f.store.Marked(q.question(), f.ledger, time.Now())
	return m != nil && m.Whole
}

// EndShareless forgets that the last answer was not to be shared: one has come that is.
func (f *Filler) EndShareless(question string) { f.store.Unmark(question) }

// contradict drops the copy of this fill's question after the origin has given an answer to the same question that cannot be shared: the copy is not
// what the origin answers any more. Copies of other questions stay, and so does one whose token is later.
func (c *running) contradict(token invalidation.Token) {
	q := c.q
	found := c.f.store.Lookup(q.Key, c.sent, time.Now(), q.Route.SelectingUnlisted()...)
	defer found.Release()
	if found.Copy != nil && found.Copy.Asked() == httpcache.Negotiation(c.sent) && !token.Before(found.Copy.Stamp.Token()) {
		c.f.store.Drop(found.Key, found.Copy)
	}
}

// spares reports whether a renewal in the background has brought an error, or an answer that is not stored, while the copy is still fresh. The copy
// then stays until its lifetime is over.
func (c *running) spares(status int, store bool) bool {
	if c.q.Why != policy.Renewal || c.previous == nil || store && status < http.StatusBadRequest {
		return false
	}
	use, _ := c.q.Route.Usable(c.previous, c.f.ledger, time.Now())
	return use == httpcache.Fresh
}
