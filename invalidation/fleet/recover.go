package fleet

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// Snapshot is the state that the log has led to, for an instance that has not followed it. Its parts may be read at different times after Seq was read:
// marks only rise, and what a part has beyond Seq comes again with the entries after Seq.
type Snapshot struct {
	History History
	// Previous is the history that the instance followed which began this one; zero: none, or not known.
	Previous History
	Seq      uint64
	Nonce    uint64 // of the entry at Seq
	Floor    uint64 // Seq below which the server has forgotten marks
	Marks    []Mark
	Fences   []invalidation.Record // BeginFence of the open ones
	Notices  []invalidation.Notice
	// Unread are the subjects of notices that cannot be read, or must not be heeded. They are reported as notices with the body Unreadable, so that
	// listeners know that there is a notice.
	Unread []string
}

// Unreadable is the body of a notice in place of one that cannot be read. It is no body that anybody announces.
const Unreadable = "\x00"

// Mark is the last invalidation of one member.
type Mark struct {
	ID   invalidation.ID
	Seq  uint64
	Soft bool
}

// InstallSnapshot takes in a snapshot: of the log that this instance follows, where that was trimmed (R9b), or of another (R10).
func (f *Follower) InstallSnapshot(s Snapshot, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	newLog := s.History != f.positions.history
	if newLog {
		f.enterHistory(s.History, s.Previous, now)
	} else if s.Seq < f.positions.applied {
		return // the log has lost its end since: the next reply says so
	}
	f.installMarks(s, now)
	f.positions.advance(invalidation.Record{Seq: s.Seq, Nonce: s.Nonce}, s.Seq+f.positions.offset(), now)
	f.installFences(s.Fences, newLog, now)
	f.installNotices(s.Notices, newLog)
	for _, subject := range s.Unread {
		f.events = append(f.events, Event{Notice: invalidation.Notice{Subject: subject, Body: []byte(Unreadable)}})
	}
}

// installMarks applies the marks that this instance lacks. A mark beyond the snapshot's Seq is applied at that Seq: the entry that
// set it follows in the log. Applied at its own Seq, the mark would move the ledger beyond entries that are still to
// come, and a copy fetched meanwhile would count as newer than those. The caller holds mu.
func (f *Follower) installMarks(s Snapshot, now time.Time) {
	slices.SortFunc(s.Marks, func(a, b Mark) int { return cmp.Compare(a.Seq, b.Seq) })
	offset, known := f.positions.offset(), f.positions.applied
	if s.Floor > known {
		f.ledger.RaiseFloor(s.Floor + offset)
	}
	for i := 0; i < len(s.Marks); {
		m := s.Marks[i]
		e := invalidation.Entry{Position: min(m.Seq, s.Seq) + offset, Operation: invalidation.Order{Soft: m.Soft}.Operation()}
		for ; i < len(s.Marks) && s.Marks[i].Seq == m.Seq && s.Marks[i].Soft == m.Soft; i++ {
			e.IDs = append(e.IDs, s.Marks[i].ID)
		}
		if m.Seq > known {
			f.ledger.Apply(e, now)
		}
	}
}

// installFences opens the fences that are open on the server. With newLog it ends none: a log that does not know of a fence does not say
// that the fence has ended, and its writer may take it to stand for as long as that one holds its lease (R15). In the same log it ends the
// others, except this instance's own: their beginning may be on its way. It brings the ledger to the snapshot's position. The caller
// holds mu.
func (f *Follower) installFences(fences []invalidation.Record, newLog bool, now time.Time) {
	position, open := f.positions.local, map[uint64]bool{}
	for _, r := range fences {
		open[r.Fence] = true
		e := invalidation.Entry{Position: position, Operation: invalidation.BeginFence, IDs: r.IDs}
		if f.fences.begin(r, position, now) {
			e.Operation = invalidation.Invalidate
		}
		f.ledger.Apply(e, now)
	}
	for number, s := range f.fences.byNumber {
		if !open[number] && !newLog && s.renewAt.IsZero() {
			f.ledger.Apply(invalidation.Entry{Position: position, Operation: invalidation.EndFence, IDs: s.ids, Fenced: len(s.ids)}, now)
			delete(f.fences.byNumber, number)
		}
	}
	f.ledger.Apply(invalidation.Entry{Position: position, Operation: invalidation.Announce}, now)
}

// enterHistory leaves one log for another (R10). The late entries of the old log are written into the new one: an instance that
// had not applied them yet must not miss them. An instance whose lease has lapsed may be the one that has missed something: it waits for
// the others to write, and gives up its copies after a time out of touch that is longer than the others remember.
//
// The new log may also be an old one: a server that was restored holds copies from before purges that are older than the others
// remember. Only a log that was begun by an instance which left the same log as this one is known to have come after it; in any other,
// everything has to be confirmed. The caller holds mu.
func (f *Follower) enterHistory(h, previous History, now time.Time) {
	if left := f.positions.history; left != (History{}) {
		f.grace.epochStart = now // no instance has to be in the new log yet
		if !f.lease.Valid(now) {
			f.grace.begin(now)
			f.grace.missing = nil
			for _, p := range f.detector.live {
				if p.Name != f.name {
					f.grace.missing = append(f.grace.missing, p.Name)
				}
			}
			if now.Sub(f.complete) > f.limits.reissue-f.grace.leaseTimeout() {
				f.invalidateAll(now) // longer than the others remember
			}
		}
		for _, e := range f.positions.ring.entries {
			f.lose(e.record, now, now.Sub(e.at) <= f.limits.reissue && e.record.Operation != invalidation.Announce)
		}
		if now.Sub(f.complete) <= f.limits.reissue {
			f.announceAgain(now)
		}
		if previous != left {
			f.confirmEverything(left, now)
		}
	}
	f.positions.enter(h)
}

// confirmEverything has all copies confirmed by the origin before they are used, on all instances. All that have the same reason, a
// log that was left or a term that began, derive the same key. The caller holds mu.
func (f *Follower) confirmEverything(reason History, now time.Time) {
	key := keyOf(binary.BigEndian.Uint64(reason[:])^binary.BigEndian.Uint64(reason[len(reason)-8:]), "confirm everything")
	due := now.Add(f.pending.jitter(key))
	f.pending.add(key, invalidation.Record{Operation: invalidation.InvalidateConfirm, IDs: []invalidation.ID{allID}}, due, true)
}

// lose reports, as an event, an entry that is not in the log any more, and queues it to be written again if reissue is set. The caller holds mu.
//
// The key of the new entry is that of the lost one, or its nonce: every instance that has applied the lost entry derives the same
// key, and the first to write spares the others. The nonce is another: with the old one, an entry at the same Seq after other
// entries would make two logs match that differ.
func (f *Follower) lose(r invalidation.Record, now time.Time, reissue bool) {
	f.events = append(f.events, Event{Nonce: r.Nonce, Lost: true})
	if !reissue || len(r.IDs) == 0 && r.Operation != invalidation.Announce {
		return
	}
	key := r.Repeats
	if key == 0 {
		key = r.Nonce
	}
	if r.Operation == invalidation.BeginFence {
		// Its end may be in the log already, and a beginning after its end would stay open for ever. On this instance the fence
		// stays open as it is.
		r.Operation, r.Fence, r.Life = invalidation.Invalidate, 0, 0
	}
	f.pending.add(key, r, now.Add(f.pending.jitter(key)), true)
}

// Place is where an entry stands in a log. Two logs that have the same nonce at the same Seq are the same up to there.
type Place struct{ Seq, Nonce uint64 }

// LastCommon is the first of the places, which must be in descending order, at which the server's log is the one that was applied
// here.
func (f *Follower) LastCommon(places []Place) (common Place, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, p := range places {
		if e, known := f.positions.ring.at(p.Seq); known && e.record.Nonce == p.Nonce {
			return p, true
		}
	}
	return Place{}, false
}

// Rewind goes back to the last entry in common, from where the log is followed anew (R9). The entries beyond that one stay applied
// here, and are written again for the others. Without an entry in common nothing is known any more: the lease is revoked,
// all copies become unusable, and the next reply asks for a snapshot.
func (f *Follower) Rewind(common Place, found bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.positions.ring.at(common.Seq)
	if !found || !known {
		f.lease.Revoke(now) // copies of others could be judged by what is left of the log, which is too little
	}
	if !f.lease.Valid(now) {
		f.grace.begin(now)
	}
	f.grace.epochStart = now // others may be registered at positions that are not in this log
	if !found || !known {
		f.invalidateAll(now)
		f.enterHistory(History{}, History{}, now)
		return
	}
	for _, e := range f.positions.rewind(common) {
		f.lose(e.record, now, true)
	}
}
