package fleet

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// Snapshot is the state that the log amounts to, for an instance that has not followed the log. The server may read
// the parts at different moments after Seq, since marks only rise: an entry beyond Seq that a part already shows
// comes again with the entries after Seq.
type Snapshot struct {
	History History
	// Previous is the history that the first instance of this history had followed before. Zero: none, or not known.
	Previous History
	Seq      uint64
	Nonce    uint64 // of the entry at Seq
	Floor    uint64 // Seq below which the server has forgotten marks
	Marks    []Mark
	Fences   []invalidation.Record // BeginFence of the open ones
	Notices  []invalidation.Notice
	// Unread are the subjects of notices that the server has, but that cannot be read or must not be followed. A
	// listener has to know that the notices exist: InstallSnapshot reports their body as Unreadable.
	Unread []string
}

// Unreadable is the body that stands for a notice which cannot be read. Nobody announces this body.
const Unreadable = "\x00"

// Mark is the last invalidation of one member.
type Mark struct {
	ID   invalidation.ID
	Seq  uint64
	Soft bool
}

// InstallSnapshot takes in a snapshot, either of the log that this instance follows, where the server has trimmed
// that log (R9b), or of another log (R10).
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

// installMarks applies the marks that this instance lacks. A mark beyond the snapshot's Seq is applied at that Seq,
// since the entry that set the mark follows in the log. Applied at its own Seq, the mark would move the ledger beyond
// entries that are still to come, and a copy fetched meanwhile would count as newer than those entries. The caller
// holds mu.
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

// installFences opens the fences that are open on the server, and brings the ledger to the snapshot's position. With
// newLog, installFences ends no fence: another log that lacks a fence does not say that the fence has ended, and the
// writer of the fence may rely on the fence for as long as the writer holds its lease (R15). In the same log,
// installFences ends the fences that the snapshot lacks, apart from fences that this instance renews: their beginning
// may still be on its way. The caller holds mu.
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

// enterHistory leaves one log for another (R10). The late entries of the old log are written into the new one, since
// an instance that had not applied them yet must not miss them. An instance whose lease has lapsed may itself have
// missed an entry. Such an instance waits for the others to write, and gives up its copies after a time out of touch
// that is longer than the others remember.
//
// The new log may also be an old one: a server that was restored holds copies from before purges that are older than
// the others remember. Only a log that was begun by an instance which left the same log as this instance is known to
// have come later. In any other log, everything has to be confirmed. The caller holds mu.
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

// confirmEverything has the origin confirm all copies before any instance uses them. All instances with the same
// reason, a log that was left or a term that began, derive the same key, so that one of them writes the entry. The
// caller holds mu.
func (f *Follower) confirmEverything(reason History, now time.Time) {
	key := keyOf(binary.BigEndian.Uint64(reason[:])^binary.BigEndian.Uint64(reason[len(reason)-8:]), "confirm everything")
	due := now.Add(f.pending.jitter(key))
	f.pending.add(key, invalidation.Record{Operation: invalidation.InvalidateConfirm, IDs: []invalidation.ID{allID}}, due, true)
}

// lose reports an entry that the log has lost, and reissues the entry if reissue is set. The caller holds mu.
//
// The key of the new entry is the key of the lost entry, or its nonce: every instance that has applied the lost entry
// derives the same key, and the first to write spares the others. The new entry has another nonce: with the old
// nonce, an entry at the same Seq after other entries would make two logs match that differ.
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
		// The end of the fence may be in the log already, and a beginning after its end would stay open for ever. On
		// this instance the fence stays open as it is.
		r.Operation, r.Fence, r.Life = invalidation.Invalidate, 0, 0
	}
	f.pending.add(key, r, now.Add(f.pending.jitter(key)), true)
}

// Place is the position of an entry in a log. Two logs that have the same nonce at the same Seq are the same up to
// that Seq.
type Place struct{ Seq, Nonce uint64 }

// LastCommon returns the first of the places at which the server's log equals the log that was applied here. places
// must be in descending order. ok is false if no place is common.
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

// Rewind goes back to the last common entry, and the log is followed anew from there (R9). The entries beyond the
// common entry stay applied here, and are written again for the others. Without a common entry this instance knows
// nothing of the log any more: Rewind revokes the lease and makes all copies unusable, and the next reply asks for a
// snapshot.
func (f *Follower) Rewind(common Place, found bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.positions.ring.at(common.Seq)
	if !found || !known {
		// The lease ends because what is left of the log is too little to judge the copies of other instances by.
		f.lease.Revoke(now)
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
