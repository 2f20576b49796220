package invalidation

import (
	"slices"
	"time"
)

// standing is a fence that stands.
type standing struct {
	ids   []ID
	begun uint64    // position of its latest beginning
	until time.Time // when it ends by itself
	renew time.Time // when its writer, which is this instance, has to renew it; zero: it is another's, or given up
}

// begin notes a fence. It reports whether it stood already.
func (f *Follower) begin(r Record, position uint64, now time.Time) (stood bool) {
	s := f.fences[r.Fence]
	if stood = s != nil; !stood {
		s = &standing{ids: r.IDs}
		f.fences[r.Fence] = s
	}
	s.begun, s.until = position, now.Add(r.Life)
	return stood
}

// end takes a fence away, and says whether nothing else has touched its members since it began.
func (f *Follower) end(r Record, entry Entry) (_ Entry, exclusive bool) {
	s := f.fences[r.Fence]
	if s == nil {
		entry.Operation = Invalidate
		return entry, false
	}
	delete(f.fences, r.Fence)
	exclusive = f.ledger.untouched(s.begun, s.ids)
	// Fences count on each member: the ones counted at its beginning are those given back.
	entry.Fenced = len(s.ids)
	entry.IDs = append(slices.Clone(s.ids), r.IDs...)
	return entry, exclusive
}
