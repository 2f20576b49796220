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

// What a fill asks is its storage key and all that it forwards of the client's header, the trace apart. What the origin answers is known to
// be an answer to that, and to no other question: a client that the origin refuses for its Accept has found out nothing about what the
// next one gets, which comes under the same key. So what an answer shows besides a copy (that it is not to be shared, that there is
// nothing any more) counts for those who ask the same. Where the origin was asked again, with all that the client prefers, what it answered
// counts for those who would have asked the same first.

// questionMark ends the keys of questions. No key is the beginning of another.
const questionMark = 'q'

// Question is the key of what a fill asks, given the storage key and the header that it forwards. No copy is stored under it.
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

// answeredWhole reports whether the last answer to what a fill asks came only when the origin was told all that the client prefers, and was
// not to be shared: the next fill need not find that out again.
func (f *Filler) answeredWhole(q *Request) bool {
	if q.Settled || len(q.Route.Prefers.Preferences) == 0 || !f.store.Marks() {
		return false
	}
	m := f.store.Marked(q.question(), f.ledger, time.Now())
	return m != nil && m.Whole
}

// EndShareless forgets that the last answer was not to be shared: one has come that is.
func (f *Filler) EndShareless(question string) { f.store.Unmark(question) }

// contradict gives up the copy in whose place the origin has given an answer for nobody but the one who asked: what it said before is no
// answer any more. The copy of another question stays, and so does one that was fetched later.
func (c *running) contradict(token invalidation.Token) {
	q := c.q
	found := c.f.store.Lookup(q.Key, c.sent, time.Now(), q.Route.SelectingUnlisted()...)
	defer found.Release()
	if found.Copy != nil && found.Copy.Asked() == httpcache.Negotiation(c.sent) && !token.Before(found.Copy.Stamp.Token()) {
		c.f.store.Drop(found.Key, found.Copy)
	}
}

// spares reports whether a renewal in the background has brought what is no better than the copy, which is fresh: the copy is what its
// readers get until its lifetime is over, and then they ask for themselves.
func (c *running) spares(status int, store bool) bool {
	if c.q.Why != policy.Renewal || c.previous == nil || store && status < http.StatusBadRequest {
		return false
	}
	use, _ := c.q.Route.Usable(c.previous, c.f.ledger, time.Now())
	return use == httpcache.Fresh
}
