package fleet

import (
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// openFences are the fences that stand around a write (R15). Follower.mu guards all fields. The goroutine that applies the log
// opens and ends fences; those that write through this instance hold and abandon their own.
type openFences struct {
	ledger   *invalidation.Ledger // in which the members of a fence are marked
	byNumber map[uint64]*openFence
}

// openFence is a fence that has begun and not ended.
type openFence struct {
	ids   []invalidation.ID
	first uint64 // position of the first beginning that this instance has applied
	begun uint64 // position of the latest
	// before has the marks of the members at the first beginning. They are restored if the write has changed nothing.
	before []uint64
	// disturbed is the last position at which another entry had named a member, as of the latest renewal. A renewal sets the marks of the members
	// anew, so that the ledger does not show earlier entries any more.
	disturbed uint64
	expires   time.Time // when the fence ends by itself
	renewAt   time.Time // when this instance has to renew the fence; zero: it is not the writer, or the fence was abandoned or concluded
	// sure and epoch are set by the writer: until when no instance takes the writer for dead, and the epoch in which the fence was confirmed.
	sure  time.Time
	epoch time.Time
}

// begin notes the beginning of a fence, before the ledger applies it, and reports whether the fence was open already. A fence
// begins again with every renewal, and with every snapshot.
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

// end removes a fence, before the ledger applies the end. It returns the ledger's entry, completed, and the last position at which another entry has named
// a member of the fence, or one that the end names besides.
func (o *openFences) end(r invalidation.Record, entry invalidation.Entry) (_ invalidation.Entry, disturbed uint64) {
	s := o.byNumber[r.Fence]
	if s == nil {
		entry.Operation = invalidation.Invalidate
		return entry, entry.Position
	}
	delete(o.byNumber, r.Fence)
	disturbed = max(s.disturbed, o.ledger.Disturbed(s.ids, s.begun), o.ledger.Disturbed(invalidation.Without(r.IDs, s.ids), 0))
	// The ledger counts the fences of each member: the members counted down are those counted up at the beginning, whatever the
	// end names.
	entry.Fenced = len(s.ids)
	if r.Life > 0 && disturbed < s.first {
		entry.IDs, entry.Before = s.ids, s.before
		return entry, disturbed
	}
	entry.IDs = append(slices.Clone(s.ids), r.IDs...)
	return entry, disturbed
}

// renewals returns the beginnings that this instance has to write again now, as the writer of open fences, and schedules the next renewal of each.
func (o *openFences) renewals(life time.Duration, now time.Time) (renewals []invalidation.Record) {
	for _, number := range slices.Sorted(maps.Keys(o.byNumber)) {
		if s := o.byNumber[number]; !s.renewAt.IsZero() && !now.Before(s.renewAt) {
			s.renewAt = now.Add(life / 3)
			renewals = append(renewals, invalidation.Record{Operation: invalidation.BeginFence, IDs: s.ids, Fence: number, Life: life})
		}
	}
	return renewals
}

// expired returns the ends of other instances' fences that were not renewed in time.
func (o *openFences) expired(now time.Time) (ends []invalidation.Record) {
	for _, number := range slices.Sorted(maps.Keys(o.byNumber)) {
		if s := o.byNumber[number]; s.renewAt.IsZero() && !now.Before(s.expires) {
			ends = append(ends, invalidation.Record{Operation: invalidation.EndFence, IDs: s.ids, Fence: number})
		}
	}
	return ends
}

// Hold makes this instance the writer of a fence, and so the one that renews it, until the fence ends, or Abandon or Conclude is called. The
// fence must have been confirmed (R13). epoch, as View tells it, and begun were taken before its beginning was written.
func (f *Follower) Hold(fence uint64, epoch, begun time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.fences.byNumber[fence]; s != nil {
		s.renewAt = begun.Add(f.limits.fenceLife / 3)
		s.epoch, s.sure = epoch, s.renewAt
	}
}

// Conclude queues the end of a fence, so that the writer's client need not wait for it, if every instance that holds a lease at now has the fence, and the
// fence covers all that the end names (R15); otherwise ok is false. now must be read after the origin's answer. Due hands out the returned record until
// it comes back in the log.
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

// Abandon renews a fence once more, with hold as its life, and not again, so that it expires after hold.
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
