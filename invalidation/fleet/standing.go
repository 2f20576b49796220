package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// standing is a fence that stands.
type standing struct {
	ids   []invalidation.ID
	first uint64 // position of its first beginning that this instance has seen
	begun uint64 // and of its latest
	// before is where its members stood when it first began: where copies are again if nothing comes of it.
	before []uint64
	// disturbed is up to which position something else had named the members when a later beginning came, whose marks stand
	// over what it found.
	disturbed uint64
	until     time.Time // when it ends by itself
	renew     time.Time // when its writer, which is this instance, has to renew it; zero: it is another's, or given up
}

// begin notes a fence, before its beginning is applied to the ledger. It reports whether it stood already: a fence is renewed
// while its write is at the origin, and comes again with every snapshot.
func (f *Follower) begin(r invalidation.Record, position uint64, now time.Time) (stood bool) {
	s := f.fences[r.Fence]
	if stood = s != nil; stood {
		s.disturbed = max(s.disturbed, f.ledger.Disturbed(s.ids, s.begun))
	} else {
		s = &standing{ids: r.IDs, first: position, before: f.ledger.Before(r.IDs)}
		f.fences[r.Fence] = s
	}
	s.begun, s.until = position, now.Add(r.Life)
	return stood
}

// end takes a fence away, and says up to which position something else has named its members, or those that its end names
// besides.
func (f *Follower) end(r invalidation.Record, entry invalidation.Entry) (_ invalidation.Entry, disturbed uint64) {
	s := f.fences[r.Fence]
	if s == nil {
		entry.Operation = invalidation.Invalidate
		return entry, entry.Position
	}
	delete(f.fences, r.Fence)
	disturbed = max(s.disturbed, f.ledger.Disturbed(s.ids, s.begun), f.ledger.Disturbed(invalidation.Without(r.IDs, s.ids), 0))
	// Fences count on each member: the ones counted at its beginning are those given back.
	entry.Fenced = len(s.ids)
	if r.Life > 0 && disturbed < s.first {
		entry.IDs, entry.Before = s.ids, s.before
		return entry, disturbed
	}
	entry.IDs = append(slices.Clone(s.ids), r.IDs...)
	return entry, disturbed
}
