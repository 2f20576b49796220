package store

// ghosts remembers the hashes of keys that were evicted lately. A key that comes again was evicted too early. A key may
// be taken for another that shares its hash, and may be forgotten early where two hashes share a slot.
type ghosts struct {
	slots []ghost // as many as a power of two
	seen  uint32  // evictions, modulo 2^32
}

type ghost struct{ hash, at uint32 }

// leastGhosts is the least number of slots.
const leastGhosts = 1 << 10

// add notes the hash of an evicted entry. entries is the number of entries in the table, for every second of which
// ghosts has a slot.
func (g *ghosts) add(h uint64, entries int) {
	if len(g.slots) < entries/2 || g.slots == nil {
		n := leastGhosts
		for n < entries/2 {
			n *= 2
		}
		g.slots = make([]ghost, n) // forgets all hashes, each time that entries have doubled
	}
	g.seen++
	g.slots[h%uint64(len(g.slots))] = ghost{hash: uint32(h >> 32), at: g.seen}
}

// take reports whether a key was among the last evictions, as many as there are entries, and forgets the key.
func (g *ghosts) take(h uint64, entries int) bool {
	if len(g.slots) == 0 {
		return false
	}
	slot := &g.slots[h%uint64(len(g.slots))]
	if slot.at == 0 || slot.hash != uint32(h>>32) || g.seen-slot.at > uint32(entries) {
		return false
	}
	*slot = ghost{}
	return true
}
