package fleet

import (
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// apply takes the next entry of the log into the ledger. The caller holds mu.
//
// Bookkeeping comes before the ledger where the bookkeeping reads what the entry overwrites: the fences look up the marks of
// their members (openFences.begin and end), and Quiet is the distance to the marks that stood before this entry.
func (f *Follower) apply(r invalidation.Record, now time.Time) {
	e := Event{Nonce: r.Nonce, Seq: r.Seq, Position: f.positions.local + 1}
	entry := invalidation.Entry{Position: e.Position, Operation: r.Operation, IDs: r.IDs}
	switch r.Operation {
	case invalidation.BeginFence:
		if f.fences.begin(r, e.Position, now) {
			entry.Operation = invalidation.Invalidate // the fence is open already, and counts once
		}
	case invalidation.EndFence:
		var disturbed uint64
		entry, disturbed = f.fences.end(r, entry)
		e.Quiet = e.Position - disturbed
	case invalidation.Announce:
		e.Notice, entry.IDs = r.Notice, nil
		f.keepNotice(r.Notice)
	default:
		e.Quiet = e.Position - f.ledger.Disturbed(r.IDs, 0)
		entry.Spared = r.Spared
	}
	f.ledger.Apply(entry, now)
	f.positions.advance(r, e.Position, now)
	f.pending.observe(r, now)
	f.events = append(f.events, e)
}

// ApplyLocally applies an entry on this instance that is not in the log, as when the server cannot be reached. The caller has to hand the entry to Queue, or
// has tried to write it and failed. e.Position is ignored; the position that the entry gets in the ledger is returned.
func (f *Follower) ApplyLocally(e invalidation.Entry, now time.Time) (position uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applyLocally(e, now)
	return f.positions.local
}

// applyLocally is ApplyLocally; the caller holds mu. All later entries of the log get a position in the ledger that is higher by one.
func (f *Follower) applyLocally(e invalidation.Entry, now time.Time) {
	f.positions.local++
	e.Position = f.positions.local
	f.ledger.Apply(e, now)
	f.positions.beginSegment()
}

// invalidateAll invalidates all copies on this instance, because invalidations may have been missed. The caller holds mu.
func (f *Follower) invalidateAll(now time.Time) {
	f.applyLocally(invalidation.Entry{IDs: []invalidation.ID{allID}}, now)
}

// allID is the member of every copy.
var allID = invalidation.IDOf(policy.All)

// keepNotice keeps a notice as the last one on its subject, or forgets the subject if the body is empty. The caller holds mu.
func (f *Follower) keepNotice(n invalidation.Notice) {
	if len(n.Body) == 0 {
		delete(f.notices, n.Subject)
		return
	}
	f.notices[n.Subject] = n.Body
}

// installNotices takes in the notices of a snapshot: they are told as events, and so is the withdrawal of every notice that the
// snapshot lacks. With newLog the log has just begun and holds no notice yet: what was announced in the one before stays, and
// announceAgain writes it. The caller holds mu.
func (f *Follower) installNotices(notices []invalidation.Notice, newLog bool) {
	held := map[string]bool{}
	for _, n := range notices {
		held[n.Subject] = true
		f.keepNotice(n)
		f.events = append(f.events, Event{Notice: n})
	}
	if newLog {
		return
	}
	for _, subject := range slices.Sorted(maps.Keys(f.notices)) {
		if !held[subject] {
			withdrawn := invalidation.Notice{Subject: subject}
			f.keepNotice(withdrawn)
			f.events = append(f.events, Event{Notice: withdrawn})
		}
	}
}

// announceAgain queues the standing notices to be written into a log that does not have them. Instances that know the same notice derive the same key, so
// that one of them writes it. The caller holds mu.
func (f *Follower) announceAgain(now time.Time) {
	for subject, body := range f.notices {
		key := keyOf(0, "notice "+subject+string(body))
		f.pending.add(key, invalidation.Record{Operation: invalidation.Announce, Notice: invalidation.Notice{Subject: subject, Body: body}}, now.Add(f.pending.jitter(key)), true)
	}
}
