package invalidation

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

// Sizes of the ledger. A mark takes about 64 bytes.
const (
	shards = 64
	// maxMarks bounds the members that the ledger tells apart. Beyond maxMarks the ledger gives up the oldest marks,
	// and the floor rises.
	maxMarks = 1 << 20
	// MaxFill is the longest time that a fetch may take from its token to its last byte. The ledger keeps marks for
	// MaxFill in addition to the lifetime of the copies that the marks concern.
	MaxFill = 10 * time.Minute
	// maxRetention stands for "for ever": far longer than a process lives, and short enough to be subtracted from a
	// time.
	maxRetention = math.MaxInt64 / 4
)

// Ledger holds, for each member, the position of the member's last invalidation. A Ledger does no I/O, and has no
// clock and no goroutine: the owner of the log applies the entries in order and passes the time. Reads are safe for
// concurrent use with each other and with Apply; calls of Apply must come one after another.
//
// The owner of the log is the only writer of marks, touched, applied and base: Local under its lock, fleet.Follower
// under its own. Every request reads. A reader that sees a position in applied has to see all marks up to that
// position. So Apply writes in the order marks, touched, applied, and Check reads applied first. Were applied written
// first, a request could read the new position with the old marks. The request would note the copy as valid up to a
// position whose entry has named the copy, and no later Check would look at that entry again.
type Ledger struct {
	applied atomic.Uint64 // position of the last entry applied
	// floor makes copies unusable that are known to be valid only up to a lower position, because the ledger may have
	// given up marks at or below the floor. The ledger raises the floor before marks go, and readers read the floor
	// after the marks. A reader that misses a mark therefore sees the floor.
	floor atomic.Uint64
	// touched holds for each kind of member the position of the last entry that named a member of the kind. Readers
	// look up a member only if its kind was named since the copy was last checked.
	touched   [1 << kindBits]atomic.Uint64
	sparing   atomic.Uint64 // position of the last entry that spared copies
	count     atomic.Int64  // marks in all shards
	retention atomic.Int64  // the longest time, in ns, that any copy may be held; only rises
	limit     int           // marks per shard; never changes
	// base is the time of the first Apply; only Apply touches base. Marks are dated from base and not from the Unix
	// epoch, so that setting the wall clock does not age marks while the copies that the marks concern stay young.
	base time.Time
	// nextSweep is when Apply prunes a shard next, as a duration since base; turn says which shard. Only Apply
	// touches them.
	nextSweep time.Duration
	turn      int
	// seed and factor determine the shard of a member; see Ledger.shard. They never change.
	seed, factor uint64
	shards       [shards]shard
	recent       recent
}

type shard struct {
	mu    lockorder.RWMutex[lockorder.LedgerShard]
	marks map[ID]mark // guarded by mu
	// sparing holds the marks that leave some copies of a member alone. sparing has at most one mark for each prefix
	// and host of a configuration that Crowd has ever named in the place of URLs. Guarded by mu; nil: no mark.
	sparing map[ID]sparing
	counted int      // len(marks) as included in Ledger.count; only Apply touches it
	sweep   int      // number of marks at which the shard is swept next; only Apply touches it
	_       [64]byte // keeps the locks of two shards off one cache line
}

// mark is the ledger's knowledge of one member.
type mark struct {
	hard, soft, confirm uint64        // positions of the last invalidation of each sort; 0: none
	fences              int32         // open fences
	at                  time.Duration // when the mark was last set, since Ledger.base
}

func (m mark) last() uint64 { return max(m.hard, m.soft, m.confirm) }

// sparing is a mark that leaves some copies alone.
type sparing struct {
	hard, soft, confirm uint64 // as of mark
	spared              []ID   // members of the copies that are left alone; sorted; never changes
	at                  time.Duration
}

// verdict returns what the mark means for a copy with the members ids that is known to be valid up to position.
func (m sparing) verdict(position uint64, ids []ID) Verdict {
	if max(m.hard, m.soft, m.confirm) <= position || slices.ContainsFunc(ids, func(id ID) bool {
		_, found := slices.BinarySearch(m.spared, id)
		return found
	}) {
		return Valid
	}
	switch {
	case m.hard > position:
		return Purged
	case m.confirm > position:
		return Unconfirmed
	}
	return Soft
}

// NewLedger makes an empty ledger at position 0.
func NewLedger() *Ledger {
	l := &Ledger{limit: maxMarks / shards, seed: rand.Uint64(), factor: rand.Uint64()}
	for i := range l.shards {
		l.shards[i].marks = make(map[ID]mark)
		l.shards[i].sweep = min(1024, l.limit)
	}
	return l
}

// Token returns the present position. The caller takes the token before a request goes to the origin.
func (l *Ledger) Token() Token { return Token{l.applied.Load()} }

// Retention returns the longest time that Retain was called with.
func (l *Ledger) Retention() time.Duration { return time.Duration(l.retention.Load()) }

// Marks returns the number of members that the ledger tells apart.
func (l *Ledger) Marks() int { return int(l.count.Load()) }

// Retain notes that a copy may be held for d from the time of the call. The ledger forgets a mark only when no copy
// can be left that the mark concerns.
func (l *Ledger) Retain(d time.Duration) {
	d = min(d, maxRetention)
	for {
		have := l.retention.Load()
		if int64(d) <= have || l.retention.CompareAndSwap(have, int64(d)) {
			return
		}
	}
}

// Check says whether a copy with this stamp and these members may be used at the time of the call (R3). Check keeps
// in the stamp the position up to which the copy was found valid, so that the next Check looks only at later entries.
// The members must be sorted, as IDsOf sorts them.
func (l *Ledger) Check(s *Stamp, ids []ID) Verdict {
	now := l.applied.Load()
	seen := s.checked.Load()
	if seen >= now {
		return Valid
	}
	verdict := l.scan(seen, ids)
	// The floor is read after the marks. Apply raises the floor before marks go: a reader that has missed such a mark
	// sees the floor.
	if seen < l.floor.Load() {
		return Purged
	}
	if verdict == Valid {
		s.confirm(now)
	}
	return verdict
}

// Current reports whether no entry at all was applied since a copy with this stamp was last found valid. Such a copy
// is Valid, and the caller need not gather the members of the copy for Check.
func (l *Ledger) Current(s *Stamp) bool {
	now := l.applied.Load()
	return s.checked.Load() >= now
}

// scan looks for marks later than position. Of many members, scan looks up only those that were named since position,
// if recent knows which.
func (l *Ledger) scan(position uint64, ids []ID) Verdict {
	named := ids
	if len(ids) > fewMembers {
		var room [16]ID
		if some, ok := l.recent.since(position, ids, room[:0]); ok {
			named = some
		}
	}
	verdict := Valid
	for _, id := range named {
		if l.touched[id.kind()].Load() <= position {
			continue
		}
		m, ok := l.mark(id)
		switch {
		case !ok:
		case m.hard > position:
			if m.fences > 0 {
				return Fenced
			}
			return Purged
		case m.fences > 0:
			return Fenced
		case m.confirm > position:
			verdict = Unconfirmed
		case m.soft > position:
			verdict = max(verdict, Soft)
		}
	}
	return max(verdict, l.scanSparing(position, named, ids))
}

// scanSparing looks for later marks of named that spare some copies but not a copy with the members ids.
func (l *Ledger) scanSparing(position uint64, named, ids []ID) Verdict {
	verdict := Valid
	if l.sparing.Load() <= position {
		return verdict
	}
	for _, id := range named {
		if l.touched[id.kind()].Load() <= position {
			continue
		}
		s := l.shard(id)
		s.mu.RLock()
		m, ok := s.sparing[id]
		s.mu.RUnlock()
		if ok {
			verdict = max(verdict, m.verdict(position, ids))
		}
	}
	return verdict
}

// Admits reports whether a response fetched with token t may be stored under these members (R2).
func (l *Ledger) Admits(t Token, ids []ID) bool {
	return l.scan(t.position, ids) == Valid && !l.Fenced(ids) && t.position >= l.floor.Load()
}

// Since reports whether any of the members was invalidated after t. If so, a fetch with token t must not be shared
// with a request that arrived at a later position (R4). The ledger cannot tell whether the invalidation came before
// or after that arrival: the ledger keeps only the last invalidation, which may hide an earlier one.
func (l *Ledger) Since(t Token, ids []ID) bool {
	for _, id := range ids {
		if l.touched[id.kind()].Load() <= t.position {
			continue
		}
		if m, ok := l.mark(id); ok && m.last() > t.position {
			return true
		}
	}
	return l.scanSparing(t.position, ids, ids) != Valid || t.position < l.floor.Load()
}

// Fenced reports whether a write to one of the members is under way. During the write the origin may answer with its
// state from before the write or from after the write.
func (l *Ledger) Fenced(ids []ID) bool {
	for _, id := range ids {
		if l.touched[id.kind()].Load() == 0 {
			continue
		}
		if m, ok := l.mark(id); ok && m.fences > 0 {
			return true
		}
	}
	return false
}

// Disturbed returns the last position at which an entry named one of the members, apart from the caller's own fence.
// own is the position of the latest beginning of that fence; zero: the caller has no fence on the members. Where
// another fence stands, a write is under way, and Disturbed returns the position after the last entry applied.
// Disturbed returns at least the floor, since a mark that the ledger has given up may have been a mark of one of the
// members.
func (l *Ledger) Disturbed(ids []ID, own uint64) uint64 {
	last, fences := uint64(0), int32(min(own, 1))
	for _, id := range ids {
		m, _ := l.mark(id)
		switch {
		case m.fences > fences:
			return l.applied.Load() + 1
		case own == 0 || m.last() != own:
			last = max(last, m.last())
		}
	}
	return max(last, l.floor.Load())
}

// Before returns for each of the members the position at which the member was last made unusable. A fence that begins
// keeps these positions: a write that was never sent, or was refused, has changed nothing, and must not cost anybody
// their copies.
func (l *Ledger) Before(ids []ID) []uint64 {
	positions := make([]uint64, len(ids))
	for i, id := range ids {
		m, _ := l.mark(id)
		positions[i] = m.hard
	}
	return positions
}

// shard returns the shard of a member's mark. Every ledger divides members by its own random numbers, because an ID
// is a hash that anybody can compute. A client that could aim at one shard would reach the limit of that shard with a
// small part of the marks that all shards hold, and the floor would rise for all copies.
func (l *Ledger) shard(id ID) *shard {
	high, low := bits.Mul64(uint64(id)^l.seed, l.factor)
	return &l.shards[(high^low)%shards]
}

func (l *Ledger) mark(id ID) (mark, bool) {
	s := l.shard(id)
	s.mu.RLock()
	m, ok := s.marks[id]
	s.mu.RUnlock()
	return m, ok
}
