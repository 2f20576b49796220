package invalidation

import (
	"math"
	"sync/atomic"
	"time"

	"cacheproxy/lockorder"
)

// Sizes of the ledger. A mark takes about 64 bytes.
const (
	shards = 64
	// maxMarks bounds the members that the ledger tells apart. Beyond it the oldest are given up and the floor rises.
	maxMarks = 1 << 20
	// MaxFill is the longest that a fetch may take from its token to its last byte. Marks are kept for that long in
	// addition to the lifetime of the copies that they concern.
	MaxFill = 10 * time.Minute
	// maxRetention stands for ever: far longer than a process lives, and short enough to be subtracted from a time.
	maxRetention = math.MaxInt64 / 4
)

// Ledger holds, for each member, the position of its last invalidation. It does no I/O, has no clock and no goroutine:
// whoever owns the log applies the entries in order and gives the time. Reads are safe for concurrent use with each
// other and with Apply; calls of Apply must come one after another.
type Ledger struct {
	applied atomic.Uint64 // position of the last entry applied
	// floor: copies known to be valid only up to a lower position are unusable, because marks at or below it were given
	// up. It rises before the marks go.
	floor atomic.Uint64
	// touched holds for each kind the position of the last entry that named one; so that copies are looked up only
	// for kinds that matter since their last check.
	touched   [1 << kindBits]atomic.Uint64
	retention atomic.Int64 // the longest time, in ns, that any copy may be held
	limit     int          // marks per shard
	// base is when the first entry was applied; only Apply touches it. Marks are dated from it and not from the Unix epoch,
	// so that setting the wall clock does not age them while the copies that they concern stay young.
	base   time.Time
	shards [shards]shard
}

type shard struct {
	mu    lockorder.RWMutex[lockorder.LedgerShard]
	marks map[ID]mark // guarded by mu
	sweep int         // number of marks at which the shard is swept next; only Apply touches it
	_     [64]byte    // keeps the locks of two shards off one cache line
}

// mark is what the ledger knows of one member.
type mark struct {
	hard, soft uint64        // positions of the last invalidation of each sort; 0: none
	fences     int32         // open fences
	at         time.Duration // when the mark was last set, since Ledger.base
}

func (m mark) last() uint64 { return max(m.hard, m.soft) }

// NewLedger makes an empty ledger at position 0.
func NewLedger() *Ledger {
	l := &Ledger{limit: maxMarks / shards}
	for i := range l.shards {
		l.shards[i].marks = make(map[ID]mark)
		l.shards[i].sweep = min(1024, l.limit)
	}
	return l
}

// Token is the present position, to be taken before a request goes to the origin.
func (l *Ledger) Token() Token { return Token{l.applied.Load()} }

// Retention is the longest that Retain was told.
func (l *Ledger) Retention() time.Duration { return time.Duration(l.retention.Load()) }

// Marks is how many members the ledger tells apart.
func (l *Ledger) Marks() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		n += len(s.marks)
		s.mu.RUnlock()
	}
	return n
}

// Retain tells the ledger that a copy may be held for d from now on. Marks are forgotten only when no copy that they
// concern can be left.
func (l *Ledger) Retain(d time.Duration) {
	d = min(d, maxRetention)
	for {
		have := l.retention.Load()
		if int64(d) <= have || l.retention.CompareAndSwap(have, int64(d)) {
			return
		}
	}
}

// Check says whether a copy with this stamp and these members may be used now.
func (l *Ledger) Check(s *Stamp, ids []ID) Verdict {
	now := l.applied.Load()
	seen := s.checked.Load()
	if seen >= now {
		return Valid
	}
	verdict := l.scan(seen, ids)
	// The floor is read after the marks: it rises before marks are given up, so a mark that was missed is noticed.
	if seen < l.floor.Load() {
		return Purged
	}
	if verdict == Valid {
		s.confirm(now)
	}
	return verdict
}

// scan looks for marks later than position.
func (l *Ledger) scan(position uint64, ids []ID) Verdict {
	verdict := Valid
	for _, id := range ids {
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
		case m.soft > position:
			verdict = Soft
		}
	}
	return verdict
}

// Admits reports whether a response fetched with token t may be stored under these members.
func (l *Ledger) Admits(t Token, ids []ID) bool {
	return l.scan(t.position, ids) == Valid && !l.fenced(ids) && t.position >= l.floor.Load()
}

// Since reports whether any of the members was invalidated after t. A fetch with token t must not be shared with a
// request that arrived at a later position if so; whether the invalidation came before or after that arrival cannot be
// told from the ledger, which keeps the last one only.
func (l *Ledger) Since(t Token, ids []ID) bool {
	for _, id := range ids {
		if l.touched[id.kind()].Load() <= t.position {
			continue
		}
		if m, ok := l.mark(id); ok && m.last() > t.position {
			return true
		}
	}
	return t.position < l.floor.Load()
}

func (l *Ledger) fenced(ids []ID) bool {
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

// Disturbed is the last position at which the members were named, other than by a fence of the caller's own: the one whose
// latest beginning stands at own. Zero: the caller has none on them. Where another fence stands, a write is under way, and the
// members are disturbed up to the entry that comes next. What the ledger has given up may have been about them.
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

// Before is where each of the members was last made unusable, for a fence that begins now and may come to nothing: a write that
// was never sent, or was refused, has changed nothing, and must not cost anybody their copies.
func (l *Ledger) Before(ids []ID) []uint64 {
	positions := make([]uint64, len(ids))
	for i, id := range ids {
		m, _ := l.mark(id)
		positions[i] = m.hard
	}
	return positions
}

func (l *Ledger) shard(id ID) *shard { return &l.shards[id%shards] }

func (l *Ledger) mark(id ID) (mark, bool) {
	s := l.shard(id)
	s.mu.RLock()
	m, ok := s.marks[id]
	s.mu.RUnlock()
	return m, ok
}
