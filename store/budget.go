package store

import "cacheproxy/lockorder"

const (
	// fillShare is the part of the memory that fills in flight may take: one fourth.
	fillShare = 4
	// budgetStep is how far reservations move, in bytes, before the cache's maximum follows.
	budgetStep = 1 << 20
)

// Budget counts the bytes of bodies that are being fetched, for which the stored copies make room. It is safe for concurrent use.
type Budget struct {
	// changed has the copies make room. It is called with mu held, so that of two changes the later one counts: called without, the
	// one that was overtaken could set the room back. It must not call the Budget.
	changed func(reserved int64)

	mu       lockorder.Mutex[lockorder.Budget]
	limit    int64 // guarded by mu
	reserved int64 // guarded by mu
	told     int64 // the argument of the last call of changed; guarded by mu
}

// Reserve takes n bytes, or reports that fills in flight hold all they may.
func (b *Budget) Reserve(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit-b.reserved { // so written, no n overflows
		return false
	}
	b.move(n)
	return true
}

// ReserveSpare is Reserve for what must not keep fills from being stored: half of what they may hold is left to them.
func (b *Budget) ReserveSpare(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit/2-b.reserved {
		return false
	}
	b.move(n)
	return true
}

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.move(-n)
}

// Reserved is the number of bytes taken.
func (b *Budget) Reserved() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved
}

// resize changes the limit. Fills in flight keep what they have.
func (b *Budget) resize(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	b.told = b.reserved
	b.changed(b.reserved)
}

func (b *Budget) move(n int64) {
	b.reserved += n
	if d := b.reserved - b.told; d >= budgetStep || d <= -budgetStep {
		b.told = b.reserved
		b.changed(b.reserved)
	}
}
