package fleet

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// Snapshot is what the log amounts to, for who has not followed it. It need not be of one moment: what has changed since Seq
// comes with the entries that follow.
type Snapshot struct {
	History History
	Seq     uint64
	Nonce   uint64        // of the entry at Seq
	Floor   uint64        // copies from before it cannot be judged
	Age     time.Duration // for how long the history is known to have lasted
	Marks   []Mark
	Fences  []invalidation.Record // BeginFence of those that stand
	Notices []invalidation.Notice
}

// Mark is the last invalidation of one member.
type Mark struct {
	ID   invalidation.ID
	Seq  uint64
	Soft bool
}

// Load takes a snapshot in: of a log that goes on further than this instance has followed it, or of another.
func (f *Follower) Load(s Snapshot, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	entered := s.History != f.history
	if entered {
		f.from(now.Add(-s.Age))
		f.enter(s.History, now)
	} else if s.Seq < f.applied {
		return // the log has lost its end since: the next answer says so
	}
	slices.SortFunc(s.Marks, func(a, b Mark) int { return cmp.Compare(a.Seq, b.Seq) })
	offset := f.segments[len(f.segments)-1].offset
	known := f.applied
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
	f.position, f.applied, f.nonce = s.Seq+offset, s.Seq, s.Nonce
	f.ring.push(invalidation.Record{Seq: s.Seq, Nonce: s.Nonce}, now)
	f.reconcile(s.Fences, now)
	f.renotice(s.Notices, entered)
}

// renotice tells of the notices of a snapshot, and that others were taken back. A log that has just begun holds none yet: what
// was announced in the one before stays.
func (f *Follower) renotice(notices []invalidation.Notice, entered bool) {
	stand := map[string]bool{}
	for _, n := range notices {
		stand[n.Subject] = true
		f.note(n)
		f.events = append(f.events, Event{Notice: n})
	}
	if entered {
		return
	}
	for _, subject := range slices.Sorted(maps.Keys(f.notices)) {
		if !stand[subject] {
			f.note(invalidation.Notice{Subject: subject})
			f.events = append(f.events, Event{Notice: invalidation.Notice{Subject: subject}})
		}
	}
}

// reconcile has the fences stand that stand on the server, and no others. It brings the ledger to the position.
func (f *Follower) reconcile(fences []invalidation.Record, now time.Time) {
	stand := map[uint64]bool{}
	for _, r := range fences {
		stand[r.Fence] = true
		e := invalidation.Entry{Position: f.position, Operation: invalidation.BeginFence, IDs: r.IDs}
		if f.begin(r, f.position, now) {
			e.Operation = invalidation.Invalidate
		}
		f.ledger.Apply(e, now)
	}
	for id, s := range f.fences {
		if !stand[id] && s.renew.IsZero() {
			f.ledger.Apply(invalidation.Entry{Position: f.position, Operation: invalidation.EndFence, IDs: s.ids, Fenced: len(s.ids)}, now)
			delete(f.fences, id)
		}
	}
	f.ledger.Apply(invalidation.Entry{Position: f.position, Operation: invalidation.Announce}, now)
}

// enter leaves one history for another. What the one before has invalidated lately is written into the new one: an instance
// that had not heard of it yet must not miss it. Who was out of touch waits for the others to do so, and knows nothing where
// one of them does not appear any more.
func (f *Follower) enter(h History, now time.Time) {
	if f.history != (History{}) {
		f.from(now) // nobody has to be in the new one yet
		if !f.lease.Valid(now) {
			f.wait(now)
			f.missing = nil
			for _, p := range f.peers {
				if p.Name != f.name {
					f.missing = append(f.missing, p.Name)
				}
			}
			if now.Sub(f.current) > reissueWindow-f.patience() {
				f.forget(now) // longer than the others remember
			}
		}
		for _, e := range f.ring.entries {
			f.lose(e.record, now, now.Sub(e.at) <= reissueWindow && e.record.Operation != invalidation.Announce)
		}
		if now.Sub(f.current) <= reissueWindow {
			f.announceAgain(now)
		}
	}
	f.history, f.applied, f.nonce, f.terms = h, 0, 0, nil
	f.ring, f.segments = ring{}, []segment{{first: 0, offset: f.position}}
}

// announceAgain has what was announced written into a log that does not hold it. Instances that know the same write the same.
func (f *Follower) announceAgain(now time.Time) {
	for subject, body := range f.notices {
		key := f.key(0, "notice "+subject+string(body))
		f.owe(key, invalidation.Record{Operation: invalidation.Announce, Notice: invalidation.Notice{Subject: subject, Body: body}}, now.Add(f.stagger(key)), true)
	}
}

// lose tells of an entry that is not in the log any more, and has it written again.
func (f *Follower) lose(r invalidation.Record, now time.Time, again bool) {
	f.events = append(f.events, Event{Nonce: r.Nonce, Lost: true})
	if !again || len(r.IDs) == 0 && r.Operation != invalidation.Announce {
		return
	}
	key := r.Repeats
	if key == 0 {
		key = r.Nonce
	}
	if r.Operation == invalidation.BeginFence {
		// Its end may be in the log already, and then it would stand for ever. Here it stands as it did.
		r.Operation, r.Fence, r.Life = invalidation.Invalidate, 0, 0
	}
	f.owe(key, r, now.Add(f.stagger(key)), true)
}

// Place is where an entry stands in a log.
type Place struct{ Seq, Nonce uint64 }

// Common is the first of the places, which must be in descending order, that the log has in common with what was applied
// here.
func (f *Follower) Common(places []Place) (common Place, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, p := range places {
		if e, known := f.ring.at(p.Seq); known && e.record.Nonce == p.Nonce {
			return p, true
		}
	}
	return Place{}, false
}

// Diverge goes back to the last place in common, from where the log is followed anew. What was applied beyond it stays
// applied here, and is written again for the others. Without such a place nothing is known any more: all copies become
// unusable, and the next answer has the log fetched.
func (f *Follower) Diverge(common Place, found bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.ring.at(common.Seq)
	if !found || !known {
		f.lease.Revoke(now) // copies of others could be judged by what is left of the log, which is too little
	}
	if !f.lease.Valid(now) {
		f.wait(now)
	}
	f.from(now) // others may be registered at positions that are not in this log
	if !found || !known {
		f.forget(now)
		f.enter(History{}, now)
		return
	}
	for _, e := range f.ring.cut(common.Seq) {
		f.lose(e.record, now, true)
	}
	f.applied, f.nonce = common.Seq, common.Nonce
	f.shift()
}
