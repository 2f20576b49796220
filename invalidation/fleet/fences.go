package fleet

import (
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// openFences are the fences that stand around a write (R15). Follower.mu guards all fields. The goroutine that
// applies the log opens and ends fences. The goroutines that write through this instance hold, conclude and abandon
// their own fences.
type openFences struct {
	ledger   *invalidation.Ledger // the members of a fence are marked in this ledger
	byNumber map[uint64]*openFence
}

// openFence is a fence that has begun and not ended.
type openFence struct {
	ids   []invalidation.ID
	first uint64 // position of the first beginning that this instance has applied
	begun uint64 // position of the latest beginning
	// before holds the positions of the members' marks in the ledger at the first beginning. The marks get these
	// positions back if the write changed nothing.
	before []uint64
	// disturbed is the last position at which something else had named the members, as of the latest renewal. A
	// renewal sets the marks of the members anew, so that afterwards the ledger shows the renewal and not the marks
	// that the renewal covers.
	disturbed uint64
	expires   time.Time // when the fence ends by itself
	// renewAt is when this instance, the writer, renews the fence. Zero: the fence is another instance's, or
	// abandoned, or concluded.
	renewAt time.Time
	// Only for this instance's own fences. sure is until when no instance can take the writer of the fence for dead.
	// epoch is the epoch in which the beginning of the fence was confirmed.
	sure  time.Time
	epoch time.Time
}

// begin notes the beginning of a fence, before the ledger applies the beginning, and reports whether the fence was
// open already. A fence begins again with every renewal, and with every snapshot.
func (o *openFences) begin(r invalidation.Record, position uint64, now time.Time) (open bool) {
	s := o.byNumber[r.Fence]
	if open = s != nil; open {
		s.disturbed = max(s.disturbed, o.ledger.Disturbed(s.ids, s.begun))
	} else {
		s = &openFence{ids: r.IDs, first: position, before: o.ledger.Before(r.IDs)}
		o.byNumber[r.Fence] = s
	}
	s.begun, s.expires = position, now.Add(r.Life)
	return open
}

// end removes a fence, before the ledger applies the end. The result is the completed ledger entry, and the last
// position at which something else has named the members of the fence, or the members that the end names besides.
func (o *openFences) end(r invalidation.Record, entry invalidation.Entry) (_ invalidation.Entry, disturbed uint64) {
	s := o.byNumber[r.Fence]
	if s == nil {
		entry.Operation = invalidation.Invalidate
		return entry, entry.Position
	}
	delete(o.byNumber, r.Fence)
	disturbed = max(s.disturbed, o.ledger.Disturbed(s.ids, s.begun), o.ledger.Disturbed(invalidation.Without(r.IDs, s.ids), 0))
	// The ledger counts the fences of each member. The members counted down are the members counted up at the
	// beginning, whatever the end names.
	entry.Fenced = len(s.ids)
	if r.Life > 0 && disturbed < s.first {
		entry.IDs, entry.Before = s.ids, s.before
		return entry, disturbed
	}
	entry.IDs = append(slices.Clone(s.ids), r.IDs...)
	return entry, disturbed
}

// renewals returns the beginnings that this instance has to write again, as the writer of fences that are still open.
func (o *openFences) renewals(life time.Duration, now time.Time) (renewals []invalidation.Record) {
	for _, number := range slices.Sorted(maps.Keys(o.byNumber)) {
		if s := o.byNumber[number]; !s.renewAt.IsZero() && !now.Before(s.renewAt) {
			s.renewAt = now.Add(life / 3)
			renewals = append(renewals, invalidation.Record{Operation: invalidation.BeginFence, IDs: s.ids, Fence: number, Life: life})
		}
	}
	return renewals
}

// expired returns the ends of fences whose writer has given no sign of life.
func (o *openFences) expired(now time.Time) (ends []invalidation.Record) {
	for _, number := range slices.Sorted(maps.Keys(o.byNumber)) {
		if s := o.byNumber[number]; s.renewAt.IsZero() && !now.Before(s.expires) {
			ends = append(ends, invalidation.Record{Operation: invalidation.EndFence, IDs: s.ids, Fence: number})
		}
	}
	return ends
}

// Hold makes this instance the writer of a fence, and so the instance that renews the fence, until the fence ends, or
// until Abandon or Conclude is called. The fence must have been confirmed (R13). The caller took epoch from View, and
// begun from the clock, before the beginning of the fence was written.
func (f *Follower) Hold(fence uint64, epoch, begun time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.fences.byNumber[fence]; s != nil {
		s.renewAt = begun.Add(f.limits.fenceLife / 3)
		s.epoch, s.sure = epoch, s.renewAt
	}
}

// Conclude has the end of a fence written without making anybody wait for the end. Conclude does so only if the fence
// stands on every instance that holds a lease at now, and keeps requests from all members that the end names (R15);
// otherwise ok is false. now must be read after the origin's answer. Conclude returns the record, which Due hands out
// until the record comes back in the log.
func (f *Follower) Conclude(end invalidation.Record, now time.Time) (_ invalidation.Record, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.fences.byNumber[end.Fence]
	if s == nil || !now.Before(s.sure) || s.epoch != f.grace.epochStart || !f.lease.Valid(now) || !f.detector.allCountFrom(firstBeat) ||
		len(invalidation.Without(end.IDs, s.ids)) > 0 || slices.ContainsFunc(s.ids, func(id invalidation.ID) bool { return !id.Foreknown() }) {
		return end, false
	}
	s.renewAt, s.sure = time.Time{}, time.Time{}
	end.Repeats = f.pending.ownKey(end.Fence, "end")
	f.pending.add(end.Repeats, end, now.Add(resendAfter), false)
	return end, true
}

// Abandon leaves a fence to end by itself after hold: the last renewal of the fence has hold for a life.
func (f *Follower) Abandon(fence uint64, hold time.Duration, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.fences.byNumber[fence]
	if s == nil {
		return
	}
	s.renewAt = time.Time{}
	r := invalidation.Record{Operation: invalidation.BeginFence, IDs: s.ids, Fence: fence, Life: hold}
	f.pending.add(f.pending.ownKey(fence, "abandon"), r, now, false)
}
