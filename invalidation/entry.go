package invalidation

import (
	"slices"
	"sync/atomic"
	"time"
)

// Operation is what an entry does to its members.
type Operation uint8

const (
	// Invalidate makes copies unusable. The zero value.
	Invalidate Operation = iota
	// InvalidateSoft marks copies stale.
	InvalidateSoft
	// BeginFence makes copies unusable and keeps new ones away.
	BeginFence
	// EndFence makes copies unusable and takes the fence away, or leaves copies as they were before the fence; see
	// Entry.Before.
	EndFence
	// Announce leaves copies alone: the entry carries a Notice.
	Announce
	// InvalidateConfirm has copies confirmed by the origin before they are used, because nobody knows whether the
	// copies have changed.
	InvalidateConfirm

	lastOperation = InvalidateConfirm
)

// Entry is one entry of the log.
type Entry struct {
	Position  uint64
	Operation Operation
	IDs       []ID
	// Spared are members of copies that the entry leaves alone although the entry names them: for a prefix, the
	// copies below other routes' prefixes. Sorted; empty for a fence.
	Spared []ID
	// Fenced is, of an EndFence, the number of the first IDs that the fence held. The other IDs are only invalidated.
	Fenced int
	// Before is, of an EndFence that restores copies, the result of Ledger.Before for the IDs when the fence began.
	// Nil: the end makes copies unusable. Nothing else may have named the IDs meanwhile.
	Before []uint64
}

// Apply takes the next entry of the log into the ledger. Positions rise by any step. Once Apply has returned, every
// Check that begins finds the entry.
func (l *Ledger) Apply(e Entry, now time.Time) {
	if l.base.IsZero() {
		l.base = now
	}
	at := now.Sub(l.base)
	for i, id := range e.IDs {
		if len(e.Spared) > 0 {
			l.setSparing(id, e, at)
		} else {
			l.set(id, e, i, at)
		}
		l.touched[id.kind()].Store(e.Position)
	}
	if len(e.Spared) > 0 {
		l.sparing.Store(e.Position)
	}
	l.sweepNext(at)
	l.recent.note(e.Position, e.IDs)
	// applied is written last: a reader that sees this position has to see the marks.
	l.applied.Store(e.Position)
}

// RaiseFloor makes copies unusable that are not known to be valid up to position, because this ledger may lack marks
// at or below position.
func (l *Ledger) RaiseFloor(position uint64) { raiseTo(&l.floor, position) }

func raiseTo(v *atomic.Uint64, to uint64) {
	for {
		have := v.Load()
		if have >= to || v.CompareAndSwap(have, to) {
			return
		}
	}
}

func (l *Ledger) set(id ID, e Entry, i int, at time.Duration) {
	s := l.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.marks[id]
	m.at = at
	switch {
	case e.Operation == InvalidateSoft:
		m.soft = e.Position
	case e.Operation == InvalidateConfirm:
		m.confirm = e.Position
	case e.Before != nil:
		m.hard = e.Before[i]
	default:
		m.hard = e.Position
	}
	switch {
	case e.Operation == BeginFence:
		m.fences++
	case e.Operation == EndFence && i < e.Fenced:
		m.fences = max(0, m.fences-1)
	}
	if m.last() == 0 && m.fences == 0 { // the member had no mark but that of a write that changed nothing
		delete(s.marks, id)
	} else {
		s.marks[id] = m
	}
	l.recount(s)
	if len(s.marks) >= s.sweep {
		l.prune(s, at)
	}
}

// setSparing sets the mark of a member for the copies that are not spared.
func (l *Ledger) setSparing(id ID, e Entry, at time.Duration) {
	s := l.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	m, had := s.sparing[id]
	switch {
	case !had:
		m.spared = e.Spared
	case !slices.Equal(m.spared, e.Spared):
		// Instances with other routes spare other members. A copy stays spared only if every entry has spared it, so
		// the intersection remains.
		m.spared = slices.DeleteFunc(slices.Clone(m.spared), func(id ID) bool {
			_, found := slices.BinarySearch(e.Spared, id)
			return !found
		})
	}
	m.at = at
	switch e.Operation {
	case InvalidateSoft:
		m.soft = e.Position
	case InvalidateConfirm:
		m.confirm = e.Position
	default:
		m.hard = e.Position
	}
	if s.sparing == nil {
		s.sparing = map[ID]sparing{}
	}
	s.sparing[id] = m
}

// sweepNext prunes one shard after another, each several times within the time for which marks are kept. Marks that
// concern no copy any more must not take the room of others (Crowd), also in shards where no entry sets a mark.
func (l *Ledger) sweepNext(at time.Duration) {
	if at < l.nextSweep {
		return
	}
	l.nextSweep = at + l.kept()/(8*shards)
	s := &l.shards[l.turn%shards]
	l.turn++
	s.mu.Lock()
	defer s.mu.Unlock()
	l.prune(s, at)
}

// kept returns for how long a mark may concern a copy, or a fetch that began before the mark.
func (l *Ledger) kept() time.Duration { return MaxFill + time.Duration(l.retention.Load()) }

// prune forgets the marks of a shard that can concern no copy any more: a copy fetched before such a mark has
// outlived its lifetime, and a fetch from before the mark has outlived MaxFill. If the shard is still full, prune
// gives up the older half of its marks, and the floor rises. The caller holds s.mu.
func (l *Ledger) prune(s *shard, at time.Duration) {
	horizon := at - l.kept()
	for id, m := range s.marks {
		if m.at < horizon && m.fences == 0 {
			delete(s.marks, id)
		}
	}
	for id, m := range s.sparing {
		if m.at < horizon {
			delete(s.sparing, id)
		}
	}
	if len(s.marks) >= l.limit {
		l.raiseFloor(s)
	}
	l.recount(s)
	// Sweeping again only after the shard has doubled keeps the cost of a mark constant.
	s.sweep = min(max(1024, 2*len(s.marks)), l.limit)
}

// recount brings Ledger.count up to date with the number of a shard's marks. The caller holds s.mu.
func (l *Ledger) recount(s *shard) {
	l.count.Add(int64(len(s.marks) - s.counted))
	s.counted = len(s.marks)
}

// raiseFloor gives up the older half of a shard's marks. The caller holds s.mu.
func (l *Ledger) raiseFloor(s *shard) {
	positions := make([]uint64, 0, len(s.marks))
	for _, m := range s.marks {
		positions = append(positions, m.last())
	}
	slices.Sort(positions)
	cut := positions[len(positions)/2]
	l.RaiseFloor(cut)
	for id, m := range s.marks {
		if m.last() <= cut && m.fences == 0 {
			delete(s.marks, id)
		}
	}
}
